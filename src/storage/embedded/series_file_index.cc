#include "storage/embedded/series_file_index.h"

#include <fmt/format.h>

#include <algorithm>

namespace gpu_telemetry::storage::embedded {
namespace {

// The first eight bytes, as a number in the order of GPUs.
std::uint64_t prefix(const GpuUuid& gpu) {
  return __builtin_bswap64(io::load_fixed<std::uint64_t>(reinterpret_cast<const char*>(&gpu)));
}

}  // namespace

Result<void> SeriesFileIndex::load(std::string_view bytes, const Footer& footer) {
  footer_first_ = footer.first;
  io::ByteReader reader(bytes);
  const std::uint64_t metrics = reader.varint();
  if (metrics > bytes.size()) return corrupt("index: more metric names than bytes");
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
  return check(footer);
}

// Returns what is wrong, or an empty view.
std::string_view SeriesFileIndex::load_shapes(io::ByteReader& reader) {
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

// Walks over all blocks once.
Result<void> SeriesFileIndex::check(const Footer& footer) const {
  Walk walk;
  walk.starts.resize(descriptions_.size() + 1);
  if (const std::string_view problem = check_descriptions(footer, walk); !problem.empty()) {
    return corrupt(fmt::format("index: {}", problem));
  }
  std::size_t expected = 0;  // where the next block begins
  for (std::size_t gpu = 0; gpu < gpus_.size(); ++gpu) {
    std::string_view problem;
    io::ByteReader reader(blocks_.substr(expected));
    if (gpu != 0 && gpus_[gpu] <= gpus_[gpu - 1]) {
      problem = "not in ascending order";
    } else if (io::load_fixed<std::uint32_t>(offsets_.data() + 4 * gpu) != expected) {
      problem = "its block is not where it should be";
    } else {
      problem = check_block(reader, footer, walk);
    }
    if (!problem.empty()) {
      return corrupt(fmt::format("index: GPU {} of {}: {}", gpu + 1, gpus_.size(), problem));
    }
    expected += reader.offset();
  }
  if (expected != blocks_.size() || walk.samples != footer.samples ||
      walk.series != footer.series ||
      (walk.series != 0 && (walk.first != footer.first || walk.last != footer.last)) ||
      walk.data != footer.index_offset - kHeaderSize) {
    return corrupt("index: its totals differ from the footer's");
  }
  return {};
}

// Notes where descriptions start. Returns what is wrong, or an empty view.
std::string_view SeriesFileIndex::check_descriptions(const Footer& footer, Walk& walk) const {
  io::ByteReader reader(descriptions_);
  while (reader.ok() && reader.remaining() != 0) {
    walk.starts[reader.offset()] = true;
    const TimestampDescription description = parse_description(reader, footer_first_);
    if (description.regular()) continue;
    if (description.data_offset < kHeaderSize || description.data_offset > footer.index_offset ||
        description.data_size + kChecksumSize > footer.index_offset - description.data_offset ||
        description.data_size > footer.index_offset) {
      return "a timestamp vector lies outside of the data";
    }
    walk.data += description.data_size + kChecksumSize;
  }
  return reader.ok() ? std::string_view{} : "a timestamp vector's description is damaged";
}

// Returns what is wrong with the GPU's block, or an empty view.
std::string_view SeriesFileIndex::check_block(io::ByteReader& reader, const Footer& footer,
                                              Walk& walk) const {
  const std::uint64_t shape_number = reader.varint();
  if (shape_number >= shapes_.size()) return "its shape is missing";
  const Shape& shape = shapes_[shape_number];
  std::uint64_t offset = reader.varint();
  walk.vectors.clear();
  for (std::uint32_t i = 0; i < shape.vectors; ++i) {
    const std::uint64_t at = reader.varint();
    if (at >= walk.starts.size() || !walk.starts[at]) return "its timestamp vector is missing";
    walk.vectors.push_back(description_at(at));
  }
  for (const ShapeColumn& column : columns_of(shape)) {
    const ColumnPlace place = parse_place(reader);
    if (!reader.ok()) return "its block is damaged";
    const TimestampDescription& timestamps = walk.vectors[column.vector];
    walk.samples += timestamps.count;
    walk.first = std::min(walk.first, timestamps.first);
    walk.last = std::max(walk.last, timestamps.last);
    if (place.constant) continue;
    if (offset < kHeaderSize || offset > footer.index_offset ||
        place.data_size > footer.index_offset ||
        place.data_size + kChecksumSize > footer.index_offset - offset) {
      return "a column lies outside of the data";
    }
    offset += place.data_size + kChecksumSize;
    walk.data += place.data_size + kChecksumSize;
  }
  walk.series += shape.columns;
  return reader.ok() ? std::string_view{} : "its block is damaged";
}

std::optional<std::size_t> SeriesFileIndex::find_gpu(const GpuUuid& gpu) const {
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

std::vector<ColumnEntry> SeriesFileIndex::columns(const GpuUuid& gpu) const {
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
    entries.push_back(
        entry(std::uint64_t{*index} << 32 | entries.size(), column.metric, vectors[column.vector]));
  }
  return entries;
}

std::optional<std::uint64_t> SeriesFileIndex::find_handle(const GpuUuid& gpu, std::uint32_t metric,
                                                          std::size_t likely) const {
  const bool guessed = likely < gpus_.size() && gpus_[likely] == gpu;
  const std::optional<std::size_t> index = guessed ? likely : find_gpu(gpu);
  if (!index) return std::nullopt;
  const Shape& shape = shapes_[io::ByteReader(block(*index)).varint()];
  const std::span<const ShapeColumn> columns = columns_of(shape);
  const auto found = std::ranges::lower_bound(columns, metric, {}, &ShapeColumn::metric);
  if (found == columns.end() || found->metric != metric) return std::nullopt;
  return std::uint64_t{*index} << 32 | static_cast<std::uint64_t>(found - columns.begin());
}

bool SeriesFileIndex::is_valid(std::uint64_t handle) const {
  const std::size_t gpu = handle >> 32;
  return gpu < gpus_.size() &&
         (handle & 0xffffffff) < shapes_[io::ByteReader(block(gpu)).varint()].columns;
}

void SeriesFileIndex::locate(std::uint64_t handle, IndexedColumn& column) const {
  const std::size_t number = handle & 0xffffffff;
  const std::string_view gpu_block = block(gpu_of(handle));
  io::ByteReader reader(gpu_block);
  const Shape& shape = shapes_[reader.varint()];
  const std::uint32_t vector = columns_of(shape)[number].vector;
  column.data_offset = reader.varint();
  std::uint64_t description = 0;
  for (std::uint32_t i = 0; i < shape.vectors; ++i) {
    const std::uint64_t offset = reader.varint();
    if (i == vector) description = offset;
  }
  // Neighbours often share their timestamps.
  if (column.vector != blocks_.size() + description) {
    column.timestamps = description_at(description);
    column.vector = blocks_.size() + description;
  }
  for (std::size_t i = 0; i < number; ++i) {
    const ColumnPlace before = parse_place(reader);
    if (!before.constant) column.data_offset += before.data_size + kChecksumSize;
  }
  column.number = static_cast<std::uint64_t>(gpu_block.data() - blocks_.data()) + reader.offset();
  column.place = parse_place(reader);
}

}  // namespace gpu_telemetry::storage::embedded
