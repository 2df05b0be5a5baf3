#include "sources/csv/csv_positions.h"

#include <array>
#include <cstdio>
#include <vector>

#include "io/crc32c.h"

namespace gpu_telemetry::sources::csv {
namespace {

constexpr std::size_t kPrefixSize = std::size_t{64} << 10;

}  // namespace

Result<CsvContent> look_at_content(const OpenInput& open) {
  const Result<std::unique_ptr<ByteInput>> input = open();
  if (!input) return input.error();
  std::vector<char> text(kPrefixSize);
  std::size_t size = 0;
  while (size < text.size()) {
    const std::span<char> room(text.data() + size, text.size() - size);
    const Result<InputRead> got = (*input)->read(room, std::chrono::milliseconds{50});
    if (!got) return got.error();
    if (got->state == InputRead::State::kEnd) break;
    size += got->size;
  }
  CsvContent content;
  content.checksum = io::crc32c({text.data(), size});
  content.size = size;
  content.positions = CsvPositions::for_text_of((*input)->text_limit());
  return content;
}

std::string content_name(const CsvContent& content, bool source_times, bool loop) {
  std::array<char, 9> checksum{};
  std::snprintf(checksum.data(), checksum.size(), "%08x", content.checksum);
  return "csv:" + std::string(checksum.data()) + ":" + std::to_string(content.size) + ":" +
         std::to_string(content.positions.offset_bits()) + (source_times ? ":source" : ":now") +
         (loop ? ":loop" : ":once");
}

}  // namespace gpu_telemetry::sources::csv
