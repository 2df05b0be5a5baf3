// The bytes of a segment file (docs/formats/log.md), and what is found when one is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gpu_telemetry::log {

inline constexpr std::string_view kSegmentMagic{"GTSLOG\x1a\n", 8};
inline constexpr std::uint32_t kSegmentVersion = 1;
inline constexpr std::size_t kSegmentHeaderSize = 40;
inline constexpr std::size_t kRecordHeaderSize = 24;
inline constexpr std::size_t kRecordAlignment = 8;
// Offsets within a segment have 32 bits.
inline constexpr std::uint64_t kMaxSegmentSize = 2ULL << 30;

constexpr std::uint64_t record_size(std::uint64_t payload_size) {
  return (kRecordHeaderSize + payload_size + kRecordAlignment - 1) / kRecordAlignment *
         kRecordAlignment;
}

struct SegmentHeader {
  std::uint32_t version = kSegmentVersion;
  std::uint32_t generation = 0;  // random; every record of the segment carries it
  std::uint64_t number = 0;
  std::uint64_t reserved_size = 0;  // what the file was preallocated to
};

std::string encode_segment_header(const SegmentHeader& header);
// Nothing when the bytes are no segment header, or a damaged one. A newer version is returned.
std::optional<SegmentHeader> decode_segment_header(std::string_view file);

struct RecordHeader {
  std::uint32_t checksum = 0;  // of the payload, then of the header's other bytes
  std::uint32_t payload_size = 0;
  std::uint32_t generation = 0;
  std::uint32_t offset = 0;  // where the record stands in its file
  // Everything of the file below this offset was on the device when this record was written.
  std::uint32_t durable_below = 0;
  std::uint8_t type = 0;
};

// Appends the header, whose checksum is computed from the one of the payload.
void append_record_header(std::string& out, RecordHeader header, std::uint32_t payload_checksum);

// The record at `offset`, when there is a valid one of that generation.
std::optional<RecordHeader> record_at(std::string_view file, std::uint64_t offset,
                                      std::uint32_t generation);

// A stretch of bytes that is no record.
struct Gap {
  std::uint64_t start = 0;
  std::uint64_t end = 0;  // of the file when nothing valid follows; zeros at its end do not count
};

// What a segment's bytes hold, whoever is to blame for what they do not.
struct SegmentScan {
  std::uint32_t generation = 0;
  bool header_is_valid = false;
  std::uint64_t reserved_size = 0;         // 0 when the header is not valid
  std::vector<std::uint32_t> records;      // offsets of the valid ones, ascending
  std::vector<Gap> gaps;                   // ascending
  std::uint64_t end = kSegmentHeaderSize;  // after the last valid record
  std::uint32_t durable_below = 0;         // the largest that a valid record says
};

// Reads a whole segment. Without a valid header the generation is taken from the first record.
SegmentScan scan_segment(std::string_view file);

// "0000000000000042.log" and back.
std::string segment_name(std::uint64_t number);
std::optional<std::uint64_t> segment_number(std::string_view name);

}  // namespace gpu_telemetry::log
