// The bytes choose operations; the ledger and its simple model must agree after each.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "queue/ledger_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::size_t at = 0;
  const auto choose = [&](std::uint32_t bound) -> std::optional<std::uint32_t> {
    if (at >= size) return std::nullopt;
    std::uint32_t value = data[at++];
    if (bound > 256 && at < size) value = value << 8 | data[at++];
    return value % bound;
  };
  if (const auto difference = gpu_telemetry::queue::find_difference(choose)) {
    std::fprintf(stderr, "ledger and model differ: %s\n", difference->c_str());
    std::abort();
  }
  return 0;
}
