// The parts of a series file around its data: header, index entries, footer. docs/formats/store.md,
// "Series files", has the bytes. Internal to the writer and the reader.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "domain/gpu_uuid.h"
#include "domain/result.h"
#include "io/bytes.h"
#include "storage/embedded/column_codec.h"
#include "storage/embedded/series_file.h"
#include "storage/embedded/timestamp_codec.h"

namespace gpu_telemetry::storage::embedded {

inline constexpr std::string_view kSeriesFileMagic{"GTSERIES", 8};
inline constexpr std::size_t kHeaderSize = 16;
inline constexpr std::size_t kFooterSize = 88;
inline constexpr std::size_t kChecksumSize = 4;

// Limits that a reader enforces before it allocates.
inline constexpr std::uint64_t kMaxSamplesPerColumn = 1U << 24;
inline constexpr std::int64_t kMaxTimestamp = std::int64_t{1} << 60;

// The index holds GPUs as they lie in memory, so that opening a file copies none of them.
inline constexpr std::size_t kUuidSize = 17;
static_assert(sizeof(GpuUuid) == kUuidSize && alignof(GpuUuid) == 1 &&
              std::is_trivially_copyable_v<GpuUuid>);
static_assert(std::bit_cast<std::array<std::uint8_t, kUuidSize>>(GpuUuid(GpuUuid::Kind::kMig,
                                                                         {2, 3}))[0] == 1);
static_assert(std::bit_cast<std::array<std::uint8_t, kUuidSize>>(GpuUuid(GpuUuid::Kind::kMig,
                                                                         {2, 3}))[1] == 2);

std::string encode_header(std::uint32_t version);

struct Footer {
  std::uint32_t version = kSeriesFileVersion;
  std::uint64_t index_offset = 0;
  std::uint64_t index_size = 0;
  std::uint64_t samples = 0;
  std::uint64_t series = 0;
  std::uint64_t gpus = 0;
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t stored_at = 0;
  std::uint32_t index_checksum = 0;

  // Of the whole file.
  std::string_view index(std::string_view file) const {
    return file.substr(index_offset, index_size);
  }
  // Empty in version 1.
  std::string_view parity(std::string_view file) const;
};
// Parity and footers, from the index on to the end of the file.
std::string encode_end(std::string_view index, const Footer& footer);

// Checks header and footer of the whole file. What is damaged and stands elsewhere too costs
// nothing and is added to `damage`. Errors: kCorrupt, kInvalid for a version that is not read.
Result<Footer> read_footer(std::string_view file, std::vector<std::string>& damage);

// One column in a GPU's block of the index.
struct ColumnPlace {
  bool constant = false;
  double value = 0;             // when constant
  std::uint64_t data_size = 0;  // when not
};
void append_constant_place(double value, std::string& out);
void append_data_place(std::uint64_t data_size, std::string& out);
// Fails the reader on what is wrong.
ColumnPlace parse_place(io::ByteReader& reader);

// `file_first` is the footer's first timestamp.
void append_description(const TimestampDescription& description, std::int64_t file_first,
                        std::string& out);
TimestampDescription parse_description(io::ByteReader& reader, std::int64_t file_first);

}  // namespace gpu_telemetry::storage::embedded
