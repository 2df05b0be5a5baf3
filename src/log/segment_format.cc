#include "log/segment_format.h"

#include <algorithm>
#include <charconv>

#include "io/bytes.h"
#include "io/crc32c.h"

namespace gpu_telemetry::log {
namespace {

constexpr std::string_view kSuffix = ".log";
constexpr std::size_t kDigits = 16;

// The payload's checksum goes on over the header's bytes after the checksum itself.
std::uint32_t seal(std::string_view header, std::uint32_t payload_checksum) {
  return io::crc32c(header.substr(sizeof(std::uint32_t)), payload_checksum);
}

// One after the last byte from `start` on that is not zero; `start` when all are.
std::uint64_t end_of_content(std::string_view file, std::uint64_t start) {
  std::uint64_t end = file.size();
  while (end % 8 != 0 && end > start && file[end - 1] == '\0') --end;
  while (end >= start + 8 && end % 8 == 0 &&
         io::load_fixed<std::uint64_t>(file.data() + end - 8) == 0) {
    end -= 8;
  }
  while (end > start && file[end - 1] == '\0') --end;
  return end;
}

// The offset of the first valid record after `start` and below `limit`; `limit` when there is none.
std::uint64_t next_record(std::string_view file, std::uint64_t start, std::uint64_t limit,
                          std::uint32_t generation) {
  for (std::uint64_t at = start + kRecordAlignment;
       at < limit && at + kRecordHeaderSize <= file.size(); at += kRecordAlignment) {
    // Generation and offset lie side by side, so one comparison rules out nearly everything.
    if (io::load_fixed<std::uint64_t>(file.data() + at + 8) != (generation | (at << 32))) continue;
    if (record_at(file, at, generation)) return at;
  }
  return limit;
}

}  // namespace

std::string encode_segment_header(const SegmentHeader& header) {
  std::string out(kSegmentMagic);
  io::append_fixed(out, header.version);
  io::append_fixed(out, header.generation);
  io::append_fixed(out, header.number);
  io::append_fixed(out, header.reserved_size);
  io::append_fixed(out, std::uint32_t{0});
  io::append_fixed(out, io::crc32c(out));
  return out;
}

std::optional<SegmentHeader> decode_segment_header(std::string_view file) {
  io::ByteReader reader(file.substr(0, kSegmentHeaderSize));
  if (reader.bytes(kSegmentMagic.size()) != kSegmentMagic) return std::nullopt;
  SegmentHeader header;
  header.version = reader.fixed<std::uint32_t>();
  header.generation = reader.fixed<std::uint32_t>();
  header.number = reader.fixed<std::uint64_t>();
  header.reserved_size = reader.fixed<std::uint64_t>();
  reader.fixed<std::uint32_t>();
  const auto checksum = reader.fixed<std::uint32_t>();
  if (!reader.ok() || checksum != io::crc32c(file.substr(0, kSegmentHeaderSize - 4))) {
    return std::nullopt;
  }
  return header;
}

void append_record_header(std::string& out, RecordHeader header, std::uint32_t payload_checksum) {
  const std::size_t start = out.size();
  io::append_fixed(out, std::uint32_t{0});
  io::append_fixed(out, header.payload_size);
  io::append_fixed(out, header.generation);
  io::append_fixed(out, header.offset);
  io::append_fixed(out, header.durable_below);
  io::append_fixed(out, std::uint32_t{header.type});
  const std::uint32_t checksum = seal(std::string_view(out).substr(start), payload_checksum);
  std::memcpy(out.data() + start, &checksum, sizeof checksum);
}

std::optional<RecordHeader> record_at(std::string_view file, std::uint64_t offset,
                                      std::uint32_t generation) {
  if (offset > file.size() || file.size() - offset < kRecordHeaderSize) return std::nullopt;
  const std::string_view bytes = file.substr(static_cast<std::size_t>(offset));
  io::ByteReader reader(bytes.substr(0, kRecordHeaderSize));
  RecordHeader header;
  header.checksum = reader.fixed<std::uint32_t>();
  header.payload_size = reader.fixed<std::uint32_t>();
  header.generation = reader.fixed<std::uint32_t>();
  header.offset = reader.fixed<std::uint32_t>();
  header.durable_below = reader.fixed<std::uint32_t>();
  const auto type = reader.fixed<std::uint32_t>();
  header.type = static_cast<std::uint8_t>(type);
  if (type == 0 || type > 255 || header.generation != generation || header.offset != offset ||
      header.payload_size > bytes.size() - kRecordHeaderSize) {
    return std::nullopt;
  }
  const std::uint32_t payload = io::crc32c(bytes.substr(kRecordHeaderSize, header.payload_size));
  if (seal(bytes.substr(0, kRecordHeaderSize), payload) != header.checksum) return std::nullopt;
  return header;
}

SegmentScan scan_segment(std::string_view file) {
  SegmentScan scan;
  if (const auto header = decode_segment_header(file)) {
    scan.header_is_valid = true;
    scan.generation = header->generation;
    scan.reserved_size = header->reserved_size;
  } else if (file.size() >= kSegmentHeaderSize + kRecordHeaderSize) {
    scan.generation = io::load_fixed<std::uint32_t>(file.data() + kSegmentHeaderSize + 8);
  }
  std::optional<std::uint64_t> content_end;  // looked for once something is no record
  for (std::uint64_t at = kSegmentHeaderSize; at < content_end.value_or(file.size());) {
    if (const auto record = record_at(file, at, scan.generation)) {
      scan.records.push_back(record->offset);
      scan.durable_below = std::max(scan.durable_below, record->durable_below);
      at += record_size(record->payload_size);
      scan.end = at;
      continue;
    }
    if (!content_end) content_end = end_of_content(file, at);
    if (at >= *content_end) break;  // the end of what was written: zeros from here on
    const std::uint64_t next = next_record(file, at, *content_end, scan.generation);
    scan.gaps.push_back({at, next});
    at = next;
  }
  return scan;
}

std::string segment_name(std::uint64_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < kDigits) digits.insert(0, kDigits - digits.size(), '0');
  return digits.append(kSuffix);
}

std::optional<std::uint64_t> segment_number(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || name.size() < kDigits) {
    return std::nullopt;
  }
  return number;
}

}  // namespace gpu_telemetry::log
