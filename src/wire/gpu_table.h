// The GPUs of a message (docs/formats/wire.md, "GPUs").
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "domain/gpu.h"
#include "domain/result.h"
#include "io/bytes.h"
#include "wire/columns.h"
#include "wire/gpu_cache.h"
#include "wire/texts.h"

namespace gpu_telemetry::wire {

// How `device_id` and `gpu_index` are stored.
enum class DeviceForm : std::uint8_t { kTexts = 0, kNvidiaNumbers = 1 };
enum class IndexForm : std::uint8_t { kTexts = 0, kNumbers = 1, kSameAsDevice = 2 };

// Memory that encoding reuses.
struct GpuTableEncoder {
  TextCollector texts;
  std::vector<std::int64_t> column;
  std::vector<std::int64_t> devices;
  std::vector<const Gpu*> schemas;       // one GPU of each schema (list of label names)
  std::vector<std::uint32_t> schema_of;  // of each GPU
  std::string columns;
};

// Appends texts and columns of the GPUs.
void append_gpus(std::string& out, std::span<const GpuPointer> gpus, GpuTableEncoder& encoder,
                 ColumnScratch& scratch);

// Memory that decoding reuses.
struct GpuTableDecoder {
  // Made of numbers: "nvidia12" and "12".
  struct DeviceText {
    std::array<char, 20> device;
    std::array<char, 12> index;
  };
  std::vector<DeviceText> device_texts;
  std::vector<std::string> texts;
  std::vector<GpuUuid> uuids;
  std::vector<std::int64_t> column;
  std::vector<GpuEntry> entries;
  std::vector<GpuEntry::Label> labels;
  std::vector<std::vector<TextId>> schemas;
  std::vector<std::uint32_t> schema_of;
  std::vector<std::size_t> first_label;
};

// Replaces `out` with `count` GPUs. Errors: kCorrupt without a place.
Result<void> read_gpus(io::ByteReader& reader, std::size_t count, GpuTableDecoder& decoder,
                       ColumnScratch& scratch, GpuCache& cache, std::vector<GpuPointer>& out);

}  // namespace gpu_telemetry::wire
