// Documents of GPUs as a server hands them over: what is read can be written, and reads as the
// same.
#include <bson/bson.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "storage/mongodb/gpu_document.h"
#include "storage/mongodb/point_id.h"

namespace gpu_telemetry::storage::mongodb {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_gpu(const bson_t* document) {
  const auto stored = read_gpu(document);
  if (!stored) return;
  Document written;
  written.text("_id", stored->record.gpu.uuid.to_string());
  add_attributes(written, *stored);
  require(written.ok());
  const auto again = read_gpu(written.get());
  require(again.has_value());
  require(again->record.gpu == stored->record.gpu);
  require(again->record.first_seen == stored->record.first_seen);
  require(again->record.last_seen == stored->record.last_seen);
}

}  // namespace
}  // namespace gpu_telemetry::storage::mongodb

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using gpu_telemetry::storage::mongodb::PointId;
  (void)PointId::time_of(std::string_view(reinterpret_cast<const char*>(data), size));
  bson_t document;
  if (bson_init_static(&document, data, size)) {
    gpu_telemetry::storage::mongodb::check_gpu(&document);
  }
  return 0;
}
