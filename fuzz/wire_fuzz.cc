// Hostile wire messages: decoding never crashes, and what it accepts survives encoding and
// decoding.
//
// The checksum would keep the fuzzer out, so it is set right before the message is decoded.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/bytes.h"
#include "io/crc32c.h"
#include "wire/batch_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gpu_telemetry;
  static TelemetryBatch decoded;
  static TelemetryBatch again;
  std::string message(reinterpret_cast<const char*>(data), size);
  (void)wire::batch_codec().decode(message, decoded);
  io::append_fixed(message, io::crc32c(message));
  if (!wire::batch_codec().decode(message, decoded)) return 0;

  std::string encoded;
  wire::batch_codec().encode(decoded, encoded);
  if (!wire::batch_codec().decode(encoded, again)) std::abort();
  if (again.metrics != decoded.metrics || again.scrapes != decoded.scrapes ||
      again.samples != decoded.samples || again.gpus.size() != decoded.gpus.size()) {
    std::abort();
  }
  for (std::size_t i = 0; i < again.gpus.size(); ++i) {
    if (*again.gpus[i] != *decoded.gpus[i]) std::abort();
  }
  return 0;
}
