// What the index of a series file says: metrics, GPUs, and where each column lies. Internal to the
// reader. docs/formats/store.md, "Series files", has the bytes.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/gpu_uuid.h"
#include "domain/result.h"
#include "io/bytes.h"
#include "storage/embedded/series_file.h"
#include "storage/embedded/series_file_format.h"

namespace gpu_telemetry::storage::embedded {

// A column as its GPU's block in the index tells it.
struct IndexedColumn {
  static constexpr std::uint64_t kNoVector = UINT64_MAX;

  ColumnPlace place;
  std::uint64_t number = 0;       // its own among the index's places
  std::uint64_t data_offset = 0;  // when not constant
  // Its timestamp vector's number among the index's places: the same for columns that share it.
  std::uint64_t vector = kNoVector;
  TimestampDescription timestamps;
};

// Points into its bytes. Verified when it is loaded, so that later nothing in it needs to be
// doubted; read by any number of threads then.
class SeriesFileIndex {
 public:
  // `bytes` are the index as its checksum says, and outlive it. Nothing else may be called before
  // this succeeded. Errors: kCorrupt.
  Result<void> load(std::string_view bytes, const Footer& footer);

  std::span<const std::string> metric_names() const { return metric_names_; }  // ascending
  std::span<const GpuUuid> gpus() const { return gpus_; }                      // ascending
  // The numbers of columns and timestamp vectors are less.
  std::size_t places() const { return blocks_.size() + descriptions_.size(); }

  // A handle names a column: its GPU in the upper half, the column among the GPU's in the lower.
  static std::size_t gpu_of(std::uint64_t handle) { return handle >> 32; }
  bool is_valid(std::uint64_t handle) const;

  // The GPU's columns in ascending order of metric; empty when there are none. O(log gpus).
  std::vector<ColumnEntry> columns(const GpuUuid& gpu) const;
  // `likely`: a guess of the GPU's place in gpus().
  std::optional<std::uint64_t> find_handle(const GpuUuid& gpu, std::uint32_t metric,
                                           std::size_t likely) const;
  static ColumnEntry entry(std::uint64_t handle, std::uint32_t metric,
                           const TimestampDescription& timestamps) {
    return {metric, static_cast<std::uint32_t>(timestamps.count), timestamps.first, timestamps.last,
            handle};
  }

  // Fills in the column of a valid handle. `column` is new or holds another one of this index.
  void locate(std::uint64_t handle, IndexedColumn& column) const;

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
  // What the walk over all blocks collects.
  struct Walk {
    std::vector<bool> starts;                   // by offset: whether a description starts there
    std::vector<TimestampDescription> vectors;  // of the present GPU
    std::uint64_t data = 0;                     // bytes that belong to something
    std::uint64_t samples = 0;
    std::uint64_t series = 0;
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    std::int64_t last = std::numeric_limits<std::int64_t>::min();
  };

  std::string_view load_shapes(io::ByteReader& reader);
  Result<void> check(const Footer& footer) const;
  std::string_view check_descriptions(const Footer& footer, Walk& walk) const;
  std::string_view check_block(io::ByteReader& reader, const Footer& footer, Walk& walk) const;

  std::string_view block(std::size_t gpu) const {
    return blocks_.substr(io::load_fixed<std::uint32_t>(offsets_.data() + 4 * gpu));
  }
  std::span<const ShapeColumn> columns_of(const Shape& shape) const {
    return std::span(shape_columns_).subspan(shape.first_column, shape.columns);
  }
  TimestampDescription description_at(std::uint64_t offset) const {
    io::ByteReader reader(descriptions_.substr(offset));
    return parse_description(reader, footer_first_);
  }
  std::optional<std::size_t> find_gpu(const GpuUuid& gpu) const;

  std::int64_t footer_first_ = 0;
  std::vector<std::string> metric_names_;
  std::vector<Shape> shapes_;
  std::vector<ShapeColumn> shape_columns_;
  std::string_view descriptions_;
  std::string_view blocks_;
  std::span<const GpuUuid> gpus_;
  std::string_view offsets_;
};

}  // namespace gpu_telemetry::storage::embedded
