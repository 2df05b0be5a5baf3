#include "storage/mongodb/bson.h"

namespace gpu_telemetry::storage::mongodb {

std::string valid_utf8(std::string_view text) {
  constexpr bool kAllowNull = true;
  if (bson_utf8_validate(text.data(), text.size(), kAllowNull)) return std::string(text);
  std::string valid;
  while (!text.empty()) {
    // The shortest well-formed prefix is one character.
    std::size_t size = 1;
    while (size <= 4 && size <= text.size() && !bson_utf8_validate(text.data(), size, kAllowNull)) {
      ++size;
    }
    if (size > 4 || size > text.size()) {
      valid += "\xEF\xBF\xBD";
      size = 1;
    } else {
      valid += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return valid;
}

}  // namespace gpu_telemetry::storage::mongodb
