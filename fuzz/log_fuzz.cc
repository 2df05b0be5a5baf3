// Hostile segment files: opening never crashes, and what it makes of them it makes of them again.
//
// The first byte chooses how: two bits what is done to the bytes, so that the fuzzer gets past the
// checksums.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "io/bytes.h"
#include "io/crc32c.h"
#include "io/simulated_file_system.h"
#include "log/segment_format.h"
#include "log/segment_log.h"

namespace {

using namespace gpu_telemetry;

std::vector<std::string> open_and_read(io::FileSystem& files, bool& opened) {
  std::vector<std::string> payloads;
  log::SegmentLogOptions options;
  options.directory = "/log";
  options.segment_size = 4_KiB;
  options.files = &files;
  log::RecoveryReport report;
  auto segment_log = log::SegmentLog::open(
      options,
      [&](const log::Record& record) -> Result<void> {
        payloads.emplace_back(record.payload);
        return {};
      },
      &report);
  opened = segment_log.has_value();
  if (!opened) return {};
  if (!(*segment_log)->append(1, "after", log::Durability::kSync)) std::abort();
  payloads.emplace_back("after");
  return payloads;
}

// A valid header before the bytes, and valid checksums in whatever looks like a record.
void make_plausible(std::string& file) {
  log::SegmentHeader header;
  header.generation = 7;
  header.number = 1;
  header.reserved_size = file.size() + log::kSegmentHeaderSize;
  file.insert(0, log::encode_segment_header(header));
  for (std::size_t at = log::kSegmentHeaderSize; at + log::kRecordHeaderSize <= file.size();) {
    const auto size = io::load_fixed<std::uint32_t>(file.data() + at + 4) % 256;
    if (at + log::kRecordHeaderSize + size > file.size()) return;
    log::RecordHeader record;
    record.payload_size = size;
    record.generation = 7;
    record.offset = static_cast<std::uint32_t>(at);
    record.durable_below = io::load_fixed<std::uint32_t>(file.data() + at + 16);
    record.type = static_cast<std::uint8_t>(file[at + 20]);
    std::string bytes;
    const std::string_view payload(file.data() + at + log::kRecordHeaderSize, size);
    log::append_record_header(bytes, record, io::crc32c(payload));
    if (file[at] != 0) file.replace(at, bytes.size(), bytes);  // else left as a gap
    at += log::record_size(size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string content(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] & 1) make_plausible(content);
  io::SimulatedFileSystem files;
  if (!files.create_directories("/log")) std::abort();
  {
    auto file = files.open("/log/" + log::segment_name(1), io::OpenMode::kCreate);
    const std::string_view piece = content;
    if (!file || !(*file)->write_at(0, {&piece, 1})) std::abort();
  }
  bool opened = false;
  const std::vector<std::string> first = open_and_read(files, opened);
  if (!opened) return 0;
  bool opened_again = false;
  std::vector<std::string> second = open_and_read(files, opened_again);
  if (!opened_again || second.empty()) std::abort();
  second.pop_back();
  if (first != second) std::abort();
  return 0;
}
