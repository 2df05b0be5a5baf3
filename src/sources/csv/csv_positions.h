// Where a row of a shared CSV file stands, as one number that every process computes alike: the
// number of the pass in the high bits, the offset in the (decompressed) text in the low ones.
#pragma once

#include <cstdint>
#include <string>

#include "domain/result.h"
#include "sources/csv/csv_input.h"

namespace gpu_telemetry::sources::csv {

class CsvPositions {
 public:
  // How many bits the offset takes depends on how large the text may become, so that a small file
  // can be read in a loop for years: 32 (4 GiB), 40 (1 TiB) or 48 (256 TiB), which leaves 2^32,
  // 2^24 or 2^16 passes.
  static CsvPositions for_text_of(std::uint64_t text_limit) {
    CsvPositions positions;
    positions.offset_bits_ = text_limit >> 32 == 0 ? 32 : text_limit >> 40 == 0 ? 40 : 48;
    return positions;
  }

  unsigned offset_bits() const { return offset_bits_; }
  // Errors are the caller's to prevent: `offset` is below offset_limit(), `pass` not beyond
  // pass_limit().
  std::uint64_t at(std::uint64_t pass, std::uint64_t offset) const {
    return pass << offset_bits_ | offset;
  }
  std::uint64_t pass_of(std::uint64_t position) const { return position >> offset_bits_; }
  std::uint64_t offset_of(std::uint64_t position) const { return position & (offset_limit() - 1); }
  std::uint64_t offset_limit() const { return std::uint64_t{1} << offset_bits_; }
  // The last pass that has a position.
  std::uint64_t pass_limit() const { return UINT64_MAX >> offset_bits_; }

 private:
  unsigned offset_bits_ = 48;
};

// What a shared file is told apart by: its first 64 KiB of text. A file that grows behind them
// stays the same; one below that size becomes another with each byte.
struct CsvContent {
  std::uint32_t checksum = 0;  // CRC-32C
  std::uint64_t size = 0;      // of what was summed up
  CsvPositions positions;
};

// Errors: those of opening and reading.
Result<CsvContent> look_at_content(const OpenInput& open);

// The name of a shared source of this content.
std::string content_name(const CsvContent& content, bool source_times, bool loop);

}  // namespace gpu_telemetry::sources::csv
