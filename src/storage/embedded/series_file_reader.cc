#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include "io/crc32c.h"
#include "storage/embedded/aggregation.h"
#include "storage/embedded/series_file.h"
#include "storage/embedded/series_file_format.h"

namespace gpu_telemetry::storage::embedded {
namespace {

// Vectors up to this size are decoded whole and remembered for the next column, which has the same.
constexpr std::uint64_t kDecodeWhole = 4096;

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

// A column as its GPU's block in the index tells it.
struct Column {
  ColumnPlace place;
  std::uint64_t mark = 0;         // its own
  std::uint64_t data_offset = 0;  // when not constant
  std::uint64_t vector = 0;       // where its timestamps' description lies among the descriptions
  TimestampDescription timestamps;
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

// What a thread decoded last, kept because the columns of a GPU, and often all GPUs of a file,
// share their timestamps.
struct ThreadScratch {
  std::uint64_t found_reader = 0;  // whose column `found` is; 0: nobody's
  std::uint64_t found_handle = 0;
  Column found;

  // Slot 0 is for parts of long vectors; the others take turns.
  std::array<DecodedTimes, 9> decoded;
  std::size_t next_slot = 1;

  std::uint64_t sliced_reader = 0;
  std::uint64_t sliced_vector = 0;
  std::int64_t sliced_start = 0;
  std::int64_t sliced_end = 0;
  std::int64_t sliced_step = 0;
  BucketSlices slices;

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
  Timestamp stored_at() const override { return stored_at_; }
  std::span<const std::string> metric_names() const override { return metric_names_; }
  std::span<const GpuUuid> gpus() const override { return gpus_; }
  std::vector<ColumnEntry> columns(const GpuUuid& gpu) const override;
  std::optional<ColumnEntry> find_column(const GpuUuid& gpu, std::uint32_t metric) const override;
  Result<void> read(const ColumnEntry& column, std::int64_t start, std::int64_t end,
                    std::vector<std::int64_t>& timestamps,
                    std::vector<double>& values) const override;
  Result<void> aggregate(const ColumnEntry& column, std::int64_t start, std::int64_t end,
                         std::int64_t step, std::vector<ColumnAggregate>& out) const override;
  std::vector<std::string> verify() const override;

 private:
  struct ShapeColumn {
    std::uint32_t metric = 0;
    std::uint32_t vector = 0;  // which of the GPU's vectors
  };
  struct Shape {
    std::uint32_t first_column = 0;  // index into shape_columns_
    std::uint32_t columns = 0;
    std::uint32_t vectors = 0;
  };
  // Whether what was found whole once is checked again.
  enum class Trust { kMarks, kNothing };

  Result<void> load_index(const Footer& footer);
  std::string_view load_shapes(io::ByteReader& reader);
  Result<void> check_blocks(const Footer& footer);

  std::string_view block(std::size_t gpu) const {
    return blocks_.substr(io::load_fixed<std::uint32_t>(offsets_.data() + 4 * gpu));
  }
  std::span<const ShapeColumn> columns_of(const Shape& shape) const {
    return std::span(shape_columns_).subspan(shape.first_column, shape.columns);
  }
  ColumnEntry entry(std::size_t gpu, std::size_t column, std::uint32_t metric,
                    const TimestampDescription& timestamps) const {
    return {metric, static_cast<std::uint32_t>(timestamps.count), timestamps.first, timestamps.last,
            std::uint64_t{gpu} << 32 | column};
  }
  TimestampDescription description_at(std::uint64_t offset) const {
    io::ByteReader reader(descriptions_.substr(offset));
    return parse_description(reader, footer_first_);
  }
  std::optional<std::size_t> find_gpu(const GpuUuid& gpu) const;
  bool is_valid(std::uint64_t handle) const;
  const Column& find(std::uint64_t handle, ThreadScratch& scratch) const;
  Error no_such_column() const {
    return internal(fmt::format("{}: the column is of another file", path_));
  }
  static std::uint64_t prefix(const GpuUuid& gpu) {
    return __builtin_bswap64(io::load_fixed<std::uint64_t>(reinterpret_cast<const char*>(&gpu)));
  }
  Error damaged(const ColumnEntry& entry, std::string_view part, std::string_view what) const;
  bool checksum_holds(std::uint64_t offset, std::uint64_t size) const {
    return io::load_fixed<std::uint32_t>(bytes_.data() + offset + size) ==
           io::crc32c(bytes_.substr(offset, size));
  }

  // Every timestamp of the column in [start, end], and perhaps more. Good until the next call.
  Result<const DecodedTimes*> load_times(const ColumnEntry& entry, const Column& column,
                                         std::int64_t start, std::int64_t end,
                                         ThreadScratch& scratch, Trust trust = Trust::kMarks) const;
  Result<void> check_times(const ColumnEntry& entry, const Column& column,
                           const TimestampDecoder& decoder) const;
  // Makes scratch.column the column's, checked.
  Result<void> load_values(const ColumnEntry& entry, const Column& column, ThreadScratch& scratch,
                           Trust trust = Trust::kMarks) const;
  Result<void> check_values(const ColumnEntry& entry, const EncodedColumn& column) const;

  std::string path_;
  std::unique_ptr<io::MappedFile> file_;
  std::string_view bytes_;
  std::uint64_t number_;  // of this reader, unlike its address never used again
  SeriesFileSummary summary_;
  Timestamp stored_at_;
  std::int64_t footer_first_ = 0;
  std::vector<std::string> metric_names_;
  std::vector<Shape> shapes_;
  std::vector<ShapeColumn> shape_columns_;
  std::string_view descriptions_;
  std::string_view blocks_;
  std::span<const GpuUuid> gpus_;
  std::string_view offsets_;
  // Which columns (by the place of their entry in blocks_) and timestamp vectors (by the place of
  // their description, after all of blocks_) are known to be whole.
  Marks marks_;
};

Result<void> Reader::load() {
  if (Result<void> header = check_header(bytes_); !header) return header.error().at(path_);
  Result<Footer> footer = parse_footer(bytes_);
  if (!footer) return footer.error().at(path_);
  if (Result<void> index = load_index(*footer); !index) return index.error().at(path_);
  summary_.file_bytes = bytes_.size();
  summary_.samples = footer->samples;
  summary_.series = footer->series;
  summary_.gpus = footer->gpus;
  summary_.first = from_unix_milliseconds(footer->first);
  summary_.last = from_unix_milliseconds(footer->last);
  stored_at_ = from_unix_milliseconds(footer->stored_at);
  return {};
}

Result<void> Reader::load_index(const Footer& footer) {
  const std::string_view index = bytes_.substr(footer.index_offset, footer.index_size);
  if (io::crc32c(index) != footer.index_checksum) return corrupt("index: its checksum differs");
  footer_first_ = footer.first;
  io::ByteReader reader(index);
  const std::uint64_t metrics = reader.varint();
  if (metrics > index.size()) return corrupt("index: more metric names than bytes");
  for (std::uint64_t i = 0; i < metrics && reader.ok(); ++i) {
    metric_names_.emplace_back(reader.sized_bytes());
    if (metric_names_.back().empty() || (i != 0 && metric_names_[i] <= metric_names_[i - 1])) {
      return corrupt("index: metric names are not in ascending order");
    }
  }
  if (const std::string_view problem = load_shapes(reader); !problem.empty()) {
    return corrupt(fmt::format("index: {}", problem));
  }
  descriptions_ = reader.sized_bytes();
  blocks_ = reader.sized_bytes();
  if (!reader.ok() || footer.gpus > reader.remaining() / (kUuidSize + 4)) {
    return corrupt("index: shorter than what it holds");
  }
  const std::string_view uuids = reader.bytes(footer.gpus * kUuidSize);
  offsets_ = reader.bytes(footer.gpus * 4);
  if (reader.remaining() != 0) return corrupt("index: longer than what it holds");
  for (std::size_t i = 0; i < uuids.size(); i += kUuidSize) {
    if (static_cast<std::uint8_t>(uuids[i]) > 1) return corrupt("index: unknown kind of GPU");
  }
  // The format is the type's own layout (series_file_format.h asserts it), of alignment 1.
  gpus_ = {reinterpret_cast<const GpuUuid*>(uuids.data()), footer.gpus};
  marks_.reset(blocks_.size() + descriptions_.size());
  return check_blocks(footer);
}

// Returns what is wrong, or an empty view.
std::string_view Reader::load_shapes(io::ByteReader& reader) {
  const std::uint64_t count = reader.varint();
  if (count > reader.remaining()) return "more shapes than bytes";
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t columns = reader.varint();
    const std::uint64_t vectors = reader.varint();
    if (columns == 0 || columns > reader.remaining() || vectors > columns) {
      return "a shape with an impossible number of columns";
    }
    Shape shape;
    shape.first_column = static_cast<std::uint32_t>(shape_columns_.size());
    shape.columns = static_cast<std::uint32_t>(columns);
    shape.vectors = static_cast<std::uint32_t>(vectors);
    std::uint64_t next_metric = 0;
    for (std::uint64_t k = 0; k < columns; ++k) {
      const std::uint64_t gap = reader.varint();
      const std::uint64_t vector = reader.varint();
      if (!reader.ok() || gap >= metric_names_.size() ||
          next_metric + gap >= metric_names_.size() || vector >= vectors) {
        return "a shape names a metric or timestamp vector that there is not";
      }
      shape_columns_.push_back(
          {static_cast<std::uint32_t>(next_metric + gap), static_cast<std::uint32_t>(vector)});
      next_metric += gap + 1;
    }
    shapes_.push_back(shape);
  }
  return reader.ok() ? std::string_view{} : "ends inside its shapes";
}

// Walks over everything once, so that later nothing in the index needs to be doubted.
Result<void> Reader::check_blocks(const Footer& footer) {
  std::vector<bool> starts(descriptions_.size() + 1);
  std::uint64_t data = 0;  // bytes that belong to something
  io::ByteReader reader(descriptions_);
  while (reader.ok() && reader.remaining() != 0) {
    starts[reader.offset()] = true;
    const TimestampDescription description = parse_description(reader, footer_first_);
    if (description.regular()) continue;
    if (description.data_offset < kHeaderSize || description.data_offset > footer.index_offset ||
        description.data_size + kChecksumSize > footer.index_offset - description.data_offset ||
        description.data_size > footer.index_offset) {
      return corrupt("index: a timestamp vector lies outside of the data");
    }
    data += description.data_size + kChecksumSize;
  }
  if (!reader.ok()) return corrupt("index: a timestamp vector's description is damaged");

  std::uint64_t samples = 0;
  std::uint64_t series = 0;
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  std::int64_t last = std::numeric_limits<std::int64_t>::min();
  std::size_t expected = 0;  // where the next block begins
  std::vector<TimestampDescription> vectors;
  for (std::size_t gpu = 0; gpu < gpus_.size(); ++gpu) {
    const auto bad = [&](std::string_view what) {
      return corrupt(fmt::format("index: GPU {} of {}: {}", gpu + 1, gpus_.size(), what));
    };
    if (gpu != 0 && gpus_[gpu] <= gpus_[gpu - 1]) return bad("not in ascending order");
    if (io::load_fixed<std::uint32_t>(offsets_.data() + 4 * gpu) != expected) {
      return bad("its block is not where it should be");
    }
    io::ByteReader block_reader(blocks_.substr(expected));
    const std::uint64_t shape_number = block_reader.varint();
    if (shape_number >= shapes_.size()) return bad("its shape is missing");
    const Shape& shape = shapes_[shape_number];
    std::uint64_t offset = block_reader.varint();
    vectors.clear();
    for (std::uint32_t i = 0; i < shape.vectors; ++i) {
      const std::uint64_t at = block_reader.varint();
      if (at >= starts.size() || !starts[at]) return bad("its timestamp vector is missing");
      vectors.push_back(description_at(at));
    }
    for (const ShapeColumn& column : columns_of(shape)) {
      const ColumnPlace place = parse_place(block_reader);
      if (!block_reader.ok()) return bad("its block is damaged");
      const TimestampDescription& timestamps = vectors[column.vector];
      samples += timestamps.count;
      first = std::min(first, timestamps.first);
      last = std::max(last, timestamps.last);
      if (place.constant) continue;
      if (offset < kHeaderSize || offset > footer.index_offset ||
          place.data_size > footer.index_offset ||
          place.data_size + kChecksumSize > footer.index_offset - offset) {
        return bad("a column lies outside of the data");
      }
      offset += place.data_size + kChecksumSize;
      data += place.data_size + kChecksumSize;
    }
    if (!block_reader.ok()) return bad("its block is damaged");
    series += shape.columns;
    expected += block_reader.offset();
  }
  if (expected != blocks_.size() || samples != footer.samples || series != footer.series ||
      (series != 0 && (first != footer.first || last != footer.last)) ||
      data != footer.index_offset - kHeaderSize) {
    return corrupt("index: its totals differ from the footer's");
  }
  return {};
}

std::optional<std::size_t> Reader::find_gpu(const GpuUuid& gpu) const {
  // By the first eight bytes, without branches that cannot be predicted; GPUs hardly ever share
  // them.
  const std::uint64_t wanted = prefix(gpu);
  const GpuUuid* base = gpus_.data();
  for (std::size_t size = gpus_.size(); size > 1;) {
    const std::size_t half = size / 2;
    base += prefix(base[half - 1]) < wanted ? half : 0;
    size -= half;
  }
  const GpuUuid* const end = gpus_.data() + gpus_.size();
  const GpuUuid* const found = std::lower_bound(base, end, gpu);
  if (found == end || *found != gpu) return std::nullopt;
  return static_cast<std::size_t>(found - gpus_.data());
}

std::vector<ColumnEntry> Reader::columns(const GpuUuid& gpu) const {
  std::vector<ColumnEntry> entries;
  const std::optional<std::size_t> index = find_gpu(gpu);
  if (!index) return entries;
  io::ByteReader reader(block(*index));
  const Shape& shape = shapes_[reader.varint()];
  reader.varint();
  std::vector<TimestampDescription> vectors(shape.vectors);
  for (TimestampDescription& description : vectors) description = description_at(reader.varint());
  entries.reserve(shape.columns);
  for (const ShapeColumn& column : columns_of(shape)) {
    entries.push_back(entry(*index, entries.size(), column.metric, vectors[column.vector]));
  }
  return entries;
}

std::optional<ColumnEntry> Reader::find_column(const GpuUuid& gpu, std::uint32_t metric) const {
  const std::optional<std::size_t> index = find_gpu(gpu);
  if (!index) return std::nullopt;
  const Shape& shape = shapes_[io::ByteReader(block(*index)).varint()];
  const std::span<const ShapeColumn> columns = columns_of(shape);
  const auto found = std::ranges::lower_bound(columns, metric, {}, &ShapeColumn::metric);
  if (found == columns.end() || found->metric != metric) return std::nullopt;
  const auto number = static_cast<std::size_t>(found - columns.begin());
  const std::uint64_t handle = std::uint64_t{*index} << 32 | number;
  return entry(*index, number, metric, find(handle, thread_scratch()).timestamps);
}

bool Reader::is_valid(std::uint64_t handle) const {
  const std::size_t gpu = handle >> 32;
  return gpu < gpus_.size() &&
         (handle & 0xffffffff) < shapes_[io::ByteReader(block(gpu)).varint()].columns;
}

// The column of a handle that is valid. It is usually asked for twice: to find it, and to use it.
const Column& Reader::find(std::uint64_t handle, ThreadScratch& scratch) const {
  Column& column = scratch.found;
  if (scratch.found_reader == number_ && scratch.found_handle == handle) return column;
  const std::size_t number = handle & 0xffffffff;
  const std::string_view gpu_block = block(handle >> 32);
  io::ByteReader reader(gpu_block);
  const Shape& shape = shapes_[reader.varint()];
  const std::uint32_t vector = columns_of(shape)[number].vector;
  column.data_offset = reader.varint();
  std::uint64_t description = 0;
  for (std::uint32_t i = 0; i < shape.vectors; ++i) {
    const std::uint64_t offset = reader.varint();
    if (i == vector) description = offset;
  }
  if (scratch.found_reader != number_ || column.vector != description) {
    column.timestamps = description_at(description);
    column.vector = description;
  }
  for (std::size_t i = 0; i < number; ++i) {
    const ColumnPlace before = parse_place(reader);
    if (!before.constant) column.data_offset += before.data_size + kChecksumSize;
  }
  column.mark = static_cast<std::uint64_t>(gpu_block.data() - blocks_.data()) + reader.offset();
  column.place = parse_place(reader);
  scratch.found_reader = number_;
  scratch.found_handle = handle;
  return column;
}

Error Reader::damaged(const ColumnEntry& entry, std::string_view part,
                      std::string_view what) const {
  const std::size_t gpu = entry.handle >> 32;
  return corrupt(fmt::format("{}: GPU {}, metric {}: {}: {}", path_, gpus_[gpu].to_string(),
                             metric_names_[entry.metric], part, what));
}

Result<const DecodedTimes*> Reader::load_times(const ColumnEntry& entry, const Column& column,
                                               std::int64_t start, std::int64_t end,
                                               ThreadScratch& scratch, Trust trust) const {
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
  const std::uint64_t mark = blocks_.size() + column.vector;
  const bool whole = trust == Trust::kMarks && marks_.is_set(mark);
  if (!whole && !timestamps.regular() &&
      !checksum_holds(timestamps.data_offset, timestamps.data_size)) {
    return damaged(entry, "timestamps", "their checksum differs");
  }
  if (const std::string_view problem = scratch.decoder.parse(timestamps, data); !problem.empty()) {
    return damaged(entry, "timestamps", problem);
  }
  if (!whole) {
    if (Result<void> good = check_times(entry, column, scratch.decoder); !good) return good.error();
    marks_.set(mark);
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

Result<void> Reader::check_times(const ColumnEntry& entry, const Column& column,
                                 const TimestampDecoder& decoder) const {
  const TimestampDescription& timestamps = column.timestamps;
  if (timestamps.regular()) return {};
  std::int64_t times[kGroupSize];
  std::int64_t before = timestamps.first - 1;
  for (std::uint64_t begin = 0; begin < timestamps.count; begin += kGroupSize) {
    const std::uint64_t end = std::min(begin + kGroupSize, timestamps.count);
    decoder.decode({begin, end}, times);
    if (begin == 0 && times[0] != timestamps.first) {
      return damaged(entry, "timestamps", "the first is not the index's");
    }
    for (std::uint64_t i = 0; i < end - begin; ++i) {
      if (times[i] <= before) return damaged(entry, "timestamps", "not in ascending order");
      before = times[i];
    }
  }
  if (before != timestamps.last) {
    return damaged(entry, "timestamps", "the last is not the index's");
  }
  return {};
}

Result<void> Reader::load_values(const ColumnEntry& entry, const Column& column,
                                 ThreadScratch& scratch, Trust trust) const {
  const bool whole = trust == Trust::kMarks && marks_.is_set(column.mark);
  if (!whole && !checksum_holds(column.data_offset, column.place.data_size)) {
    return damaged(entry, "values", "their checksum differs");
  }
  const std::string_view problem =
      parse_column(bytes_.substr(column.data_offset, column.place.data_size),
                   column.timestamps.count, scratch.column);
  if (!problem.empty()) return damaged(entry, "values", problem);
  if (!whole) {
    if (Result<void> good = check_values(entry, scratch.column); !good) return good;
    marks_.set(column.mark);
  }
  return {};
}

// What the checksum cannot know of a file made by somebody else.
Result<void> Reader::check_values(const ColumnEntry& entry, const EncodedColumn& column) const {
  for (const Group& group : column.groups) {
    if (group.coding != GroupCoding::kKeys) continue;
    double values[kGroupSize];
    decode_group_values(column, group, values);
    if (!std::all_of(values, values + group.count, [](double v) { return std::isfinite(v); })) {
      return damaged(entry, "values", "one is not finite");
    }
  }
  return {};
}

Result<void> Reader::read(const ColumnEntry& entry, std::int64_t start, std::int64_t end,
                          std::vector<std::int64_t>& timestamps,
                          std::vector<double>& values) const {
  if (!is_valid(entry.handle)) return no_such_column();
  ThreadScratch& scratch = thread_scratch();
  const Column& column = find(entry.handle, scratch);
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
                               std::int64_t step, std::vector<ColumnAggregate>& out) const {
  if (step <= 0) return invalid(fmt::format("a bucket of {} ms; it must be positive", step));
  if (!is_valid(entry.handle)) return no_such_column();
  ThreadScratch& scratch = thread_scratch();
  const Column& column = find(entry.handle, scratch);
  if (start > column.timestamps.last || end < column.timestamps.first || start > end) return {};
  if (scratch.sliced_reader != number_ || scratch.sliced_vector != column.vector ||
      scratch.sliced_start != start || scratch.sliced_end != end || scratch.sliced_step != step) {
    scratch.sliced_reader = 0;
    const Result<const DecodedTimes*> loaded = load_times(entry, column, start, end, scratch);
    if (!loaded) return loaded.error();
    slice_buckets((*loaded)->times, (*loaded)->first_index, start, end, step, scratch.slices);
    scratch.sliced_reader = number_;
    scratch.sliced_vector = column.vector;
    scratch.sliced_start = start;
    scratch.sliced_end = end;
    scratch.sliced_step = step;
  }
  if (scratch.slices.frames.empty()) return {};
  if (column.place.constant) {
    aggregate_constant(column.place.value, scratch.slices, out);
    return {};
  }
  if (Result<void> good = load_values(entry, column, scratch); !good) return good;
  aggregate_column(scratch.column, scratch.slices, out);
  return {};
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

  ThreadScratch& scratch = thread_scratch();
  std::unordered_set<std::uint64_t> vectors;  // checked
  for (const GpuUuid& gpu : gpus_) {
    for (const ColumnEntry& entry : columns(gpu)) {
      const Column& column = find(entry.handle, scratch);
      if (vectors.insert(column.vector).second) {
        note(load_times(entry, column, 0, 0, scratch, Trust::kNothing));
      }
      if (column.place.constant) continue;
      if (note(load_values(entry, column, scratch, Trust::kNothing)) &&
          !std::ranges::all_of(scratch.column.groups, statistics_hold)) {
        damage.push_back(
            damaged(entry, "values", "a group's minimum, maximum or sum is wrong").message);
      }
    }
  }
  return damage;
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
