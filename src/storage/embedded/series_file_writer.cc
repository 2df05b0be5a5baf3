#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_map>
#include <utility>

#include "io/crc32c.h"
#include "storage/embedded/series_file.h"
#include "storage/embedded/series_file_format.h"

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::size_t kWriteSize = 1 << 20;
// What the writer remembers of encoded timestamp vectors, to recognise the same one of another GPU.
constexpr std::size_t kRememberedVectorBytes = 8 << 20;

std::uint64_t hash_of(std::span<const std::int64_t> timestamps) {
  std::uint64_t hash = timestamps.size();
  for (const std::int64_t timestamp : timestamps) {
    hash = std::rotl((hash ^ static_cast<std::uint64_t>(timestamp)) * 0x9E3779B97F4A7C15ULL, 29);
  }
  return hash;
}

class Writer final : public SeriesFileWriter {
 public:
  Writer(std::unique_ptr<io::File> file, std::string path, std::vector<std::string> metric_names,
         Timestamp stored_at)
      : file_(std::move(file)),
        path_(std::move(path)),
        metric_names_(std::move(metric_names)),
        stored_at_(stored_at),
        buffer_(encode_header(kSeriesFileVersion)) {}

  Result<void> add_gpu(const GpuUuid& gpu, std::span<const SeriesColumn> columns) override {
    if (failure_) return *failure_;
    if (Result<void> good = check(gpu, columns); !good) return good;
    Result<void> added = add_checked(gpu, columns);
    if (!added) failure_ = added.error();
    return added;
  }

  Result<SeriesFileSummary> finish() override;

 private:
  // A vector of this GPU: seen by its place in memory, so that it is hashed once.
  struct LocalVector {
    std::span<const std::int64_t> timestamps;
    std::uint64_t vector = 0;  // index into vectors_
  };
  struct RememberedVector {
    std::uint64_t vector = 0;
    std::string data;
  };

  Error problem(const GpuUuid& gpu, std::string_view what) const {
    return invalid(fmt::format("{}: GPU {}: {}", path_, gpu.to_string(), what));
  }
  Result<void> check(const GpuUuid& gpu, std::span<const SeriesColumn> columns);
  Result<void> add_checked(const GpuUuid& gpu, std::span<const SeriesColumn> columns);
  std::uint64_t find_or_add_vector(std::span<const std::int64_t> timestamps);
  std::uint64_t find_or_add_shape(std::span<const SeriesColumn> columns);
  // Ends a part of the data that began at `start` of buffer_.
  void append_checksum(std::size_t start) {
    io::append_fixed(buffer_, io::crc32c(std::string_view(buffer_).substr(start)));
  }
  std::uint64_t offset() const { return written_ + buffer_.size(); }
  Result<void> flush();
  std::string encode_index() const;

  std::unique_ptr<io::File> file_;
  std::string path_;
  std::vector<std::string> metric_names_;
  Timestamp stored_at_;
  std::optional<Error> failure_;

  std::string buffer_;         // what is not written yet
  std::uint64_t written_ = 0;  // bytes of the file before buffer_

  ColumnEncoder column_encoder_;
  TimestampEncoder timestamp_encoder_;
  TimestampDecoder timestamp_decoder_;
  std::vector<std::int64_t> decoded_timestamps_;

  // The index so far.
  std::vector<TimestampDescription> vectors_;
  std::unordered_map<std::uint64_t, RememberedVector> remembered_;  // by hash
  std::size_t remembered_bytes_ = 0;
  std::unordered_map<std::string, std::uint64_t> shapes_;  // encoded -> number
  std::string shape_bytes_;
  std::string uuids_;
  // Blocks name their vectors by number here; finish() knows where each description lies.
  std::string blocks_;
  std::vector<std::size_t> block_offsets_;

  // Of the GPU at hand.
  std::vector<LocalVector> local_vectors_;
  std::vector<std::uint32_t> column_vectors_;  // of each column, index into local_vectors_
  std::string shape_;
  std::string places_;

  SeriesFileSummary summary_;
  GpuUuid last_gpu_;
  std::int64_t first_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t last_ = std::numeric_limits<std::int64_t>::min();
};

Result<void> Writer::check(const GpuUuid& gpu, std::span<const SeriesColumn> columns) {
  if (summary_.gpus != 0 && gpu <= last_gpu_) {
    return problem(gpu, "must come after the GPUs added before it, in ascending order of UUID");
  }
  if (columns.empty()) return problem(gpu, "has no column; leave such a GPU out");
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const SeriesColumn& column = columns[i];
    if (column.metric >= metric_names_.size()) {
      return problem(gpu, fmt::format("column {} names metric {} of {}", i, column.metric,
                                      metric_names_.size()));
    }
    if (i != 0 && column.metric <= columns[i - 1].metric) {
      return problem(gpu, "columns must be in ascending order of metric, each metric once");
    }
    if (column.timestamps.empty() || column.timestamps.size() != column.values.size() ||
        column.timestamps.size() > kMaxSamplesPerColumn) {
      return problem(gpu, fmt::format("metric {} has {} timestamps and {} values; want as many of "
                                      "both, 1 to {}",
                                      metric_names_[column.metric], column.timestamps.size(),
                                      column.values.size(), kMaxSamplesPerColumn));
    }
    if (i != 0 && column.timestamps.data() == columns[i - 1].timestamps.data() &&
        column.timestamps.size() == columns[i - 1].timestamps.size()) {
      continue;
    }
    if (column.timestamps.front() < -kMaxTimestamp || column.timestamps.back() > kMaxTimestamp ||
        std::ranges::adjacent_find(column.timestamps, std::greater_equal{}) !=
            column.timestamps.end()) {
      return problem(gpu, fmt::format("metric {}: timestamps are not strictly ascending",
                                      metric_names_[column.metric]));
    }
  }
  return {};
}

Result<void> Writer::add_checked(const GpuUuid& gpu, std::span<const SeriesColumn> columns) {
  local_vectors_.clear();
  column_vectors_.clear();
  for (const SeriesColumn& column : columns) {
    const auto same_memory = [&](const LocalVector& local) {
      return local.timestamps.data() == column.timestamps.data() &&
             local.timestamps.size() == column.timestamps.size();
    };
    auto local = std::ranges::find_if(local_vectors_, same_memory);
    if (local == local_vectors_.end()) {
      const std::uint64_t vector = find_or_add_vector(column.timestamps);
      local = std::ranges::find(local_vectors_, vector, &LocalVector::vector);
      if (local == local_vectors_.end()) {
        local_vectors_.push_back({column.timestamps, vector});
        local = local_vectors_.end() - 1;
      }
    }
    column_vectors_.push_back(static_cast<std::uint32_t>(local - local_vectors_.begin()));
  }

  const std::uint64_t data_offset = offset();
  places_.clear();
  for (const SeriesColumn& column : columns) {
    const auto first = std::bit_cast<std::uint64_t>(column.values[0]);
    const bool constant = std::ranges::all_of(
        column.values, [&](double value) { return std::bit_cast<std::uint64_t>(value) == first; });
    const std::size_t start = buffer_.size();
    if (constant ? !std::isfinite(column.values[0])
                 : !column_encoder_.encode(column.values, buffer_)) {
      return problem(gpu,
                     fmt::format("metric {}: a value is not finite", metric_names_[column.metric]));
    }
    if (constant) {
      append_constant_place(column.values[0], places_);
    } else {
      append_data_place(buffer_.size() - start, places_);
      append_checksum(start);
    }
    summary_.samples += column.values.size();
    first_ = std::min(first_, column.timestamps.front());
    last_ = std::max(last_, column.timestamps.back());
  }

  block_offsets_.push_back(blocks_.size());
  io::append_varint(blocks_, find_or_add_shape(columns));
  io::append_varint(blocks_, data_offset);
  for (const LocalVector& local : local_vectors_) io::append_varint(blocks_, local.vector);
  blocks_ += places_;
  const auto raw = std::bit_cast<std::array<char, kUuidSize>>(gpu);
  uuids_.append(raw.data(), raw.size());
  last_gpu_ = gpu;
  ++summary_.gpus;
  summary_.series += columns.size();
  return buffer_.size() < kWriteSize ? Result<void>{} : flush();
}

std::uint64_t Writer::find_or_add_vector(std::span<const std::int64_t> timestamps) {
  const std::uint64_t hash = hash_of(timestamps);
  if (const auto found = remembered_.find(hash); found != remembered_.end()) {
    const TimestampDescription& description = vectors_[found->second.vector];
    if (description.count == timestamps.size() &&
        timestamp_decoder_.parse(description, found->second.data).empty()) {
      decoded_timestamps_.resize(timestamps.size());
      timestamp_decoder_.decode({0, timestamps.size()}, decoded_timestamps_.data());
      if (std::ranges::equal(decoded_timestamps_, timestamps)) return found->second.vector;
    }
  }
  const std::uint64_t data_offset = offset();
  const std::size_t start = buffer_.size();
  TimestampDescription description = timestamp_encoder_.encode(timestamps, buffer_);
  std::string data = buffer_.substr(start);
  if (!description.regular()) {
    description.data_offset = data_offset;
    append_checksum(start);
  }
  const std::uint64_t vector = vectors_.size();
  vectors_.push_back(description);
  remembered_bytes_ += data.size() + 100;
  if (remembered_bytes_ > kRememberedVectorBytes) {
    remembered_.clear();
    remembered_bytes_ = data.size() + 100;
  }
  remembered_[hash] = {vector, std::move(data)};
  return vector;
}

std::uint64_t Writer::find_or_add_shape(std::span<const SeriesColumn> columns) {
  shape_.clear();
  io::append_varint(shape_, columns.size());
  io::append_varint(shape_, local_vectors_.size());
  std::uint32_t next_metric = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    io::append_varint(shape_, columns[i].metric - next_metric);
    io::append_varint(shape_, column_vectors_[i]);
    next_metric = columns[i].metric + 1;
  }
  const auto [found, added] = shapes_.try_emplace(shape_, shapes_.size());
  if (added) shape_bytes_ += shape_;
  return found->second;
}

Result<void> Writer::flush() {
  if (buffer_.empty()) return {};
  const std::string_view piece = buffer_;
  if (Result<void> wrote = file_->write_at(written_, std::span(&piece, 1)); !wrote) return wrote;
  written_ += buffer_.size();
  buffer_.clear();
  return {};
}

std::string Writer::encode_index() const {
  std::string out;
  io::append_varint(out, metric_names_.size());
  for (const std::string& name : metric_names_) {
    io::append_varint(out, name.size());
    out += name;
  }
  io::append_varint(out, shapes_.size());
  out += shape_bytes_;
  std::string descriptions;
  std::vector<std::uint64_t> places;
  places.reserve(vectors_.size());
  for (const TimestampDescription& description : vectors_) {
    places.push_back(descriptions.size());
    append_description(description, first_, descriptions);
  }
  io::append_varint(out, descriptions.size());
  out += descriptions;

  // Numbers of vectors become the places of their descriptions.
  std::string offsets;
  std::string blocks;
  std::vector<std::uint64_t> shape_vectors(shapes_.size());
  for (const auto& [shape, number] : shapes_) {
    io::ByteReader reader(shape);
    reader.varint();
    shape_vectors[number] = reader.varint();
  }
  for (std::size_t gpu = 0; gpu < block_offsets_.size(); ++gpu) {
    const std::size_t end =
        gpu + 1 < block_offsets_.size() ? block_offsets_[gpu + 1] : blocks_.size();
    io::append_fixed(offsets, static_cast<std::uint32_t>(blocks.size()));
    const std::string_view block =
        std::string_view(blocks_).substr(block_offsets_[gpu], end - block_offsets_[gpu]);
    io::ByteReader reader(block);
    const std::uint64_t shape = reader.varint();
    io::append_varint(blocks, shape);
    io::append_varint(blocks, reader.varint());
    for (std::uint64_t i = 0; i < shape_vectors[shape]; ++i) {
      io::append_varint(blocks, places[reader.varint()]);
    }
    blocks += block.substr(reader.offset());
  }
  io::append_varint(out, blocks.size());
  out += blocks;
  out += uuids_;
  out += offsets;
  return out;
}

Result<SeriesFileSummary> Writer::finish() {
  if (failure_) return *failure_;
  if (summary_.samples == 0) {
    return invalid(fmt::format("{}: a series file must have samples", path_));
  }
  const std::string index = encode_index();
  if (index.size() > std::numeric_limits<std::uint32_t>::max()) {
    return full(
        fmt::format("{}: its index would have {} bytes; at most 4 GiB. Write fewer series "
                    "into one file",
                    path_, index.size()));
  }
  Footer footer;
  footer.index_offset = offset();
  footer.index_size = index.size();
  footer.samples = summary_.samples;
  footer.series = summary_.series;
  footer.gpus = summary_.gpus;
  footer.first = first_;
  footer.last = last_;
  footer.stored_at = unix_milliseconds(stored_at_);
  footer.index_checksum = io::crc32c(index);
  buffer_ += index;
  buffer_ += encode_end(index, footer);
  if (Result<void> wrote = flush(); !wrote) return wrote.error();
  if (Result<void> synced = file_->sync_data(); !synced) return synced.error();
  summary_.version = footer.version;
  summary_.file_bytes = written_;
  summary_.first = from_unix_milliseconds(first_);
  summary_.last = from_unix_milliseconds(last_);
  return summary_;
}

}  // namespace

Result<std::unique_ptr<SeriesFileWriter>> SeriesFileWriter::create(
    io::FileSystem& files, const std::string& path, std::vector<std::string> metric_names,
    Timestamp stored_at) {
  for (std::size_t i = 0; i < metric_names.size(); ++i) {
    if (metric_names[i].empty() || (i != 0 && metric_names[i] <= metric_names[i - 1])) {
      return invalid(
          fmt::format("{}: metric names must be unique and in ascending order, and "
                      "\"{}\" is not",
                      path, metric_names[i]));
    }
  }
  Result<std::unique_ptr<io::File>> file = files.open(path, io::OpenMode::kCreate);
  if (!file) return file.error();
  std::unique_ptr<SeriesFileWriter> writer =
      std::make_unique<Writer>(std::move(*file), path, std::move(metric_names), stored_at);
  return writer;
}

}  // namespace gpu_telemetry::storage::embedded
