#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include "io/crc32c.h"
#include "storage/embedded/aggregation.h"
#include "storage/embedded/block_parity.h"
#include "storage/embedded/column_checks.h"
#include "storage/embedded/series_file.h"
#include "storage/embedded/series_file_format.h"
#include "storage/embedded/series_file_index.h"

namespace gpu_telemetry::storage::embedded {
namespace {

// Vectors up to this size are decoded whole and remembered for the next column, which has the same.
constexpr std::uint64_t kDecodeWhole = 4096;

// Answers up to this many buckets are remembered likewise.
constexpr std::uint64_t kKeepBuckets = 1024;

std::atomic<std::uint64_t> next_reader_number{1};

// One bit for each place, set once by any thread and never cleared.
class Marks {
 public:
  void reset(std::size_t size) { words_ = std::vector<std::atomic<std::uint64_t>>(size / 64 + 1); }
  bool is_set(std::size_t i) const {
    return (words_[i / 64].load(std::memory_order_relaxed) >> (i % 64) & 1) != 0;
  }
  void set(std::size_t i) const {
    words_[i / 64].fetch_or(std::uint64_t{1} << (i % 64), std::memory_order_relaxed);
  }

 private:
  mutable std::vector<std::atomic<std::uint64_t>> words_;
};

// Timestamps of a vector: all of them, or of a long one those that cover a range.
struct DecodedTimes {
  std::uint64_t reader = 0;  // whose; 0: nobody's
  std::uint64_t vector = 0;
  std::uint64_t first_index = 0;
  std::int64_t covered_start = 0;
  std::int64_t covered_end = 0;
  std::vector<std::int64_t> times;
};

// A vector's buckets in a range.
struct SlicedTimes {
  std::uint64_t reader = 0;  // whose; 0: nobody's
  std::uint64_t vector = 0;
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::int64_t step = 0;
  BucketSlices slices;
};

// The column that a thread found last in a file.
struct FoundColumn {
  static constexpr std::uint64_t kNothing = UINT64_MAX;

  std::uint64_t reader = 0;  // whose; 0: nobody's
  std::uint64_t handle = kNothing;
  IndexedColumn column;
};

// What a thread decoded last, kept because the columns of a GPU, and often all GPUs of a file,
// share their timestamps.
struct ThreadScratch {
  // By reader, since a question about many GPUs goes to several files for each.
  std::array<FoundColumn, 8> found;
  std::size_t next_found = 0;
  FoundColumn& found_of(std::uint64_t reader) {
    for (FoundColumn& each : found) {
      if (each.reader == reader) return each;
    }
    FoundColumn& taken = found[next_found];
    next_found = (next_found + 1) % found.size();
    taken = {};
    taken.reader = reader;
    return taken;
  }

  // Slot 0 is for parts of long vectors; the others take turns.
  std::array<DecodedTimes, 9> decoded;
  std::size_t next_slot = 1;

  // Slot 0 is for long answers; the others take turns.
  std::array<SlicedTimes, 9> sliced;
  std::size_t next_sliced = 1;

  TimestampDecoder decoder;
  EncodedColumn column;
};
ThreadScratch& thread_scratch() {
  thread_local ThreadScratch scratch;
  return scratch;
}

class Reader final : public SeriesFileReader {
 public:
  // `bytes` are the file's, which is null when somebody else keeps it.
  Reader(std::string path, std::unique_ptr<io::MappedFile> file, std::string_view bytes)
      : path_(std::move(path)),
        file_(std::move(file)),
        bytes_(bytes),
        number_(next_reader_number.fetch_add(1, std::memory_order_relaxed)) {}

  // Verifies header, footer and index. Nothing else may be called before it succeeded.
  Result<void> load();

  const std::string& path() const override { return path_; }
  const SeriesFileSummary& summary() const override { return summary_; }
  std::span<const std::string> damage() const override { return damage_; }
  Timestamp stored_at() const override { return stored_at_; }
  std::span<const std::string> metric_names() const override { return index_.metric_names(); }
  std::span<const GpuUuid> gpus() const override { return index_.gpus(); }
  std::vector<ColumnEntry> columns(const GpuUuid& gpu) const override {
    return index_.columns(gpu);
  }
  std::optional<ColumnEntry> find_column(const GpuUuid& gpu, std::uint32_t metric) const override;
  Result<void> read(const ColumnEntry& column, std::int64_t start, std::int64_t end,
                    std::vector<std::int64_t>& timestamps,
                    std::vector<double>& values) const override;
  Result<void> aggregate(const ColumnEntry& column, std::int64_t start, std::int64_t end,
                         std::int64_t step, std::vector<Bucket>& out) const override;
  std::vector<std::string> verify() const override;
  Mended mend(io::FileSystem& files) const override;

 private:
  // Whether what was found whole once is checked again.
  enum class Trust { kMarks, kNothing };

  const IndexedColumn& find(std::uint64_t handle, ThreadScratch& scratch) const;
  Error no_such_column() const {
    return internal(fmt::format("{}: the column is of another file", path_));
  }
  Error damaged(const ColumnEntry& entry, std::string_view part, std::string_view what) const;
  bool checksum_holds(std::uint64_t offset, std::uint64_t size) const {
    return io::load_fixed<std::uint32_t>(bytes_.data() + offset + size) ==
           io::crc32c(bytes_.substr(offset, size));
  }

  // Every timestamp of the column in [start, end], and perhaps more. Good until the next call.
  Result<const DecodedTimes*> load_times(const ColumnEntry& entry, const IndexedColumn& column,
                                         std::int64_t start, std::int64_t end,
                                         ThreadScratch& scratch, Trust trust = Trust::kMarks) const;
  // The buckets of the column's vector. Good until the next call.
  Result<const BucketSlices*> slice(const ColumnEntry& entry, const IndexedColumn& column,
                                    std::int64_t start, std::int64_t end, std::int64_t step,
                                    ThreadScratch& scratch) const;
  // Makes scratch.column the column's, checked.
  Result<void> load_values(const ColumnEntry& entry, const IndexedColumn& column,
                           ThreadScratch& scratch, Trust trust = Trust::kMarks) const;

  Result<std::string_view> load_index();
  void check_parity();
  Result<void> write_ends(io::FileSystem& files) const;

  std::string path_;
  std::unique_ptr<io::MappedFile> file_;
  std::string_view bytes_;
  std::vector<std::string> damage_;
  Footer footer_;
  std::string restored_index_;  // empty: the file's is whole
  std::uint64_t number_;        // of this reader, unlike its address never used again
  SeriesFileSummary summary_;
  Timestamp stored_at_;
  SeriesFileIndex index_;
  // Which columns and timestamp vectors, by their numbers in the index, are known to be whole.
  Marks marks_;
};

Result<void> Reader::load() {
  Result<Footer> footer = read_footer(bytes_, damage_);
  if (!footer) return footer.error().at(path_);
  footer_ = *footer;
  const Result<std::string_view> index = load_index();
  if (!index) return index.error().at(path_);
  if (Result<void> loaded = index_.load(*index, footer_); !loaded) return loaded.error().at(path_);
  for (std::string& each : damage_) each = path_ + ": " + each;
  marks_.reset(index_.places());
  summary_.version = footer_.version;
  summary_.file_bytes = bytes_.size();
  summary_.samples = footer_.samples;
  summary_.series = footer_.series;
  summary_.gpus = footer_.gpus;
  summary_.first = from_unix_milliseconds(footer_.first);
  summary_.last = from_unix_milliseconds(footer_.last);
  stored_at_ = from_unix_milliseconds(footer_.stored_at);
  return {};
}

// The index as it was written.
Result<std::string_view> Reader::load_index() {
  const std::string_view index = footer_.index(bytes_);
  if (io::crc32c(index) == footer_.index_checksum) return index;
  const std::string_view parity = footer_.parity(bytes_);
  if (parity.empty()) return corrupt("index: its checksum differs");
  std::optional<std::string> restored = restore(index, parity);
  if (!restored || io::crc32c(*restored) != footer_.index_checksum) {
    return corrupt("index: its checksum differs, and more is damaged than its parity restores");
  }
  damage_.push_back("index: its checksum differs; its parity restores it");
  restored_index_ = std::move(*restored);
  return restored_index_;
}

void Reader::check_parity() {
  const std::string_view parity = footer_.parity(bytes_);
  if (parity.empty() || parity_holds(parity)) return;
  damage_.push_back(path_ + ": parity: its checksum differs; the index is whole");
}

std::optional<ColumnEntry> Reader::find_column(const GpuUuid& gpu, std::uint32_t metric) const {
  ThreadScratch& scratch = thread_scratch();
  // A fleet is mostly asked for in the order in which it lies here.
  const std::uint64_t last = scratch.found_of(number_).handle;
  const std::size_t next = last != FoundColumn::kNothing ? SeriesFileIndex::gpu_of(last) + 1 : 0;
  const std::optional<std::uint64_t> handle = index_.find_handle(gpu, metric, next);
  if (!handle) return std::nullopt;
  return SeriesFileIndex::entry(*handle, metric, find(*handle, scratch).timestamps);
}

// The column of a handle that is valid. It is usually asked for twice: to find it, and to use it.
const IndexedColumn& Reader::find(std::uint64_t handle, ThreadScratch& scratch) const {
  FoundColumn& found = scratch.found_of(number_);
  if (found.handle == handle) return found.column;
  index_.locate(handle, found.column);
  found.handle = handle;
  return found.column;
}

Error Reader::damaged(const ColumnEntry& entry, std::string_view part,
                      std::string_view what) const {
  const GpuUuid& gpu = index_.gpus()[SeriesFileIndex::gpu_of(entry.handle)];
  // Whoever asks the API reads this: the name of the file tells which, and not where it is.
  const std::string_view name = std::string_view(path_).substr(path_.rfind('/') + 1);
  return corrupt(fmt::format("{}: GPU {}, metric {}, from {} to {}: {}: {}", name, gpu.to_string(),
                             index_.metric_names()[entry.metric],
                             format_rfc3339(from_unix_milliseconds(entry.first_timestamp)),
                             format_rfc3339(from_unix_milliseconds(entry.last_timestamp)), part,
                             what));
}

Result<const DecodedTimes*> Reader::load_times(const ColumnEntry& entry,
                                               const IndexedColumn& column, std::int64_t start,
                                               std::int64_t end, ThreadScratch& scratch,
                                               Trust trust) const {
  if (trust == Trust::kMarks) {
    for (const DecodedTimes& decoded : scratch.decoded) {
      if (decoded.reader == number_ && decoded.vector == column.vector &&
          start >= decoded.covered_start && end <= decoded.covered_end) {
        return &decoded;
      }
    }
  }
  const TimestampDescription& timestamps = column.timestamps;
  const std::string_view data = bytes_.substr(timestamps.data_offset, timestamps.data_size);
  const bool whole = trust == Trust::kMarks && marks_.is_set(column.vector);
  if (!whole && !timestamps.regular() &&
      !checksum_holds(timestamps.data_offset, timestamps.data_size)) {
    return damaged(entry, "timestamps", "their checksum differs");
  }
  if (const std::string_view problem = scratch.decoder.parse(timestamps, data); !problem.empty()) {
    return damaged(entry, "timestamps", problem);
  }
  if (!whole) {
    const std::string_view problem = check_times(timestamps, scratch.decoder);
    if (!problem.empty()) return damaged(entry, "timestamps", problem);
    marks_.set(column.vector);
  }
  const bool all = timestamps.count <= kDecodeWhole;
  const std::size_t slot = all ? scratch.next_slot : 0;
  if (all) scratch.next_slot = slot % (scratch.decoded.size() - 1) + 1;
  DecodedTimes& decoded = scratch.decoded[slot];
  decoded.reader = 0;
  TimestampDecoder::Indexes indexes{0, timestamps.count};
  if (!all) indexes = scratch.decoder.covering(start, end);
  decoded.times.resize(indexes.end - indexes.begin);
  scratch.decoder.decode(indexes, decoded.times.data());
  decoded.first_index = indexes.begin;
  decoded.covered_start = all ? std::numeric_limits<std::int64_t>::min() : start;
  decoded.covered_end = all ? std::numeric_limits<std::int64_t>::max() : end;
  decoded.vector = column.vector;
  decoded.reader = number_;
  return &decoded;
}

Result<void> Reader::load_values(const ColumnEntry& entry, const IndexedColumn& column,
                                 ThreadScratch& scratch, Trust trust) const {
  const bool whole = trust == Trust::kMarks && marks_.is_set(column.number);
  if (!whole && !checksum_holds(column.data_offset, column.place.data_size)) {
    return damaged(entry, "values", "their checksum differs");
  }
  const std::string_view problem =
      parse_column(bytes_.substr(column.data_offset, column.place.data_size),
                   column.timestamps.count, scratch.column);
  if (!problem.empty()) return damaged(entry, "values", problem);
  if (!whole) {
    const std::string_view unsound = check_values(scratch.column);
    if (!unsound.empty()) return damaged(entry, "values", unsound);
    marks_.set(column.number);
  }
  return {};
}

Result<void> Reader::read(const ColumnEntry& entry, std::int64_t start, std::int64_t end,
                          std::vector<std::int64_t>& timestamps,
                          std::vector<double>& values) const {
  if (!index_.is_valid(entry.handle)) return no_such_column();
  ThreadScratch& scratch = thread_scratch();
  const IndexedColumn& column = find(entry.handle, scratch);
  if (start > column.timestamps.last || end < column.timestamps.first || start > end) return {};
  const Result<const DecodedTimes*> loaded = load_times(entry, column, start, end, scratch);
  if (!loaded) return loaded.error();
  const DecodedTimes& decoded = **loaded;
  const auto from = std::ranges::lower_bound(decoded.times, start);
  const auto until = std::upper_bound(from, decoded.times.end(), end);
  const auto count = static_cast<std::size_t>(until - from);
  if (count == 0) return {};
  if (column.place.constant) {
    values.insert(values.end(), count, column.place.value);
  } else {
    if (Result<void> good = load_values(entry, column, scratch); !good) return good;
    const std::uint64_t begin =
        decoded.first_index + static_cast<std::uint64_t>(from - decoded.times.begin());
    values.resize(values.size() + count);
    decode_values(scratch.column, begin, begin + count, values.data() + values.size() - count);
  }
  timestamps.insert(timestamps.end(), from, until);
  return {};
}

Result<void> Reader::aggregate(const ColumnEntry& entry, std::int64_t start, std::int64_t end,
                               std::int64_t step, std::vector<Bucket>& out) const {
  if (step <= 0) return invalid(fmt::format("a bucket of {} ms; it must be positive", step));
  if (!index_.is_valid(entry.handle)) return no_such_column();
  ThreadScratch& scratch = thread_scratch();
  const IndexedColumn& column = find(entry.handle, scratch);
  if (start > column.timestamps.last || end < column.timestamps.first || start > end) return {};
  const Result<const BucketSlices*> sliced = slice(entry, column, start, end, step, scratch);
  if (!sliced) return sliced.error();
  const BucketSlices& slices = **sliced;
  if (slices.frames.empty()) return {};
  if (column.place.constant) {
    aggregate_constant(column.place.value, slices, out);
    return {};
  }
  if (Result<void> good = load_values(entry, column, scratch); !good) return good;
  aggregate_column(scratch.column, slices, out);
  return {};
}

Result<const BucketSlices*> Reader::slice(const ColumnEntry& entry, const IndexedColumn& column,
                                          std::int64_t start, std::int64_t end, std::int64_t step,
                                          ThreadScratch& scratch) const {
  for (const SlicedTimes& sliced : scratch.sliced) {
    if (sliced.vector == column.vector && sliced.reader == number_ && sliced.start == start &&
        sliced.end == end && sliced.step == step) {
      return &sliced.slices;
    }
  }
  const Result<const DecodedTimes*> loaded = load_times(entry, column, start, end, scratch);
  if (!loaded) return loaded.error();
  const auto covered = static_cast<std::uint64_t>(std::min(end, column.timestamps.last)) -
                       static_cast<std::uint64_t>(std::max(start, column.timestamps.first));
  const bool keep = covered / static_cast<std::uint64_t>(step) < kKeepBuckets;
  const std::size_t slot = keep ? scratch.next_sliced : 0;
  if (keep) scratch.next_sliced = slot % (scratch.sliced.size() - 1) + 1;
  SlicedTimes& sliced = scratch.sliced[slot];
  sliced.reader = 0;
  slice_buckets((*loaded)->times, (*loaded)->first_index, start, end, step, sliced.slices);
  sliced.vector = column.vector;
  sliced.start = start;
  sliced.end = end;
  sliced.step = step;
  sliced.reader = number_;
  return &sliced.slices;
}

std::vector<std::string> Reader::verify() const {
  std::vector<std::string> damage;
  const auto note = [&](const auto& checked) {
    if (!checked) damage.push_back(checked.error().message);
    return checked.has_value();
  };
  // Opening checked these already, but a disk may have lost them since.
  Reader again(path_, nullptr, bytes_);
  if (!note(again.load())) return damage;
  again.check_parity();
  damage = std::move(again.damage_);

  ThreadScratch& scratch = thread_scratch();
  std::unordered_set<std::uint64_t> vectors;  // checked
  for (const GpuUuid& gpu : index_.gpus()) {
    for (const ColumnEntry& entry : columns(gpu)) {
      const IndexedColumn& column = find(entry.handle, scratch);
      if (vectors.insert(column.vector).second) {
        note(load_times(entry, column, 0, 0, scratch, Trust::kNothing));
      }
      if (column.place.constant) continue;
      if (!note(load_values(entry, column, scratch, Trust::kNothing))) continue;
      const std::string_view problem = check_statistics(scratch.column);
      if (!problem.empty()) damage.push_back(damaged(entry, "values", problem).message);
    }
  }
  return damage;
}

SeriesFileReader::Mended Reader::mend(io::FileSystem& files) const {
  Mended mended;
  Reader again(path_, nullptr, bytes_);
  if (!again.load()) return mended;  // verify() tells it
  again.check_parity();
  if (!again.damage_.empty()) mended.written = again.write_ends(files);
  mended.damage = std::move(again.damage_);
  return mended;
}

// Header, index, parity and footers. What is whole is written as it is: a power cut on the way
// makes no new damage.
Result<void> Reader::write_ends(io::FileSystem& files) const {
  const auto file = files.open(path_, io::OpenMode::kReadWrite);
  if (!file) return file.error();
  const std::string header = encode_header(footer_.version);
  const std::string index(restored_index_.empty() ? footer_.index(bytes_) : restored_index_);
  const std::string end = encode_end(index, footer_);
  const std::array<std::string_view, 1> front{header};
  const std::array<std::string_view, 2> back{index, end};
  if (Result<void> wrote = (*file)->write_at(0, front); !wrote) return wrote;
  if (Result<void> wrote = (*file)->write_at(footer_.index_offset, back); !wrote) return wrote;
  return (*file)->sync_data();
}

}  // namespace

Result<std::shared_ptr<const SeriesFileReader>> SeriesFileReader::open(io::FileSystem& files,
                                                                       const std::string& path) {
  Result<std::unique_ptr<io::MappedFile>> file = files.map(path);
  if (!file) return file.error();
  const std::string_view bytes = (*file)->bytes();
  auto reader = std::make_shared<Reader>(path, std::move(*file), bytes);
  if (Result<void> loaded = reader->load(); !loaded) return loaded.error();
  std::shared_ptr<const SeriesFileReader> opened = std::move(reader);
  return opened;
}

}  // namespace gpu_telemetry::storage::embedded
