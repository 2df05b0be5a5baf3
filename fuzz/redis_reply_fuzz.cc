// Hostile answers of what says that it is Redis: reading never crashes, in whatever parts the bytes
// come, and what a script's reader accepts keeps to what was asked.
//
// The first byte of an input is the size of the parts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "queue/redis/redis_messages.h"
#include "queue/redis/redis_reply.h"

namespace gpu_telemetry::queue {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void understand(const RedisReply& reply) {
  const auto sound = without_error(Result<RedisReply>(reply));
  if (!sound) {
    require(!sound.error().message.empty());
    return;
  }
  constexpr std::size_t kMessages = 3;
  if (const auto published = read_published(reply, kMessages)) {
    require(published->size() == kMessages);
  }
  if (const auto fetched = read_fetched(reply)) {
    for (const Delivery& delivery : fetched->deliveries) {
      require(delivery.payload != nullptr);
      require(parse_redis_receipt(delivery.receipt).has_value());
    }
  }
  (void)read_assignment(reply);
  (void)read_statistics("telemetry", reply);
  std::vector<DeadLetter> letters;
  std::string last;
  if (read_dead_letters(reply, letters, last)) {
    for (const DeadLetter& letter : letters) require(letter.payload != nullptr);
  }
  (void)decode_headers(reply.text);
}

void feed(std::string_view bytes, std::size_t part) {
  RedisReplyReader reader;
  while (!bytes.empty()) {
    reader.feed(bytes.substr(0, part));
    bytes.remove_prefix(std::min(part, bytes.size()));
    for (;;) {
      const auto next = reader.next();
      if (!next) {
        require(next.error().code == ErrorCode::kCorrupt);
        require(!reader.next().has_value());  // for good
        return;
      }
      if (!*next) break;
      understand(**next);
    }
  }
}

}  // namespace
}  // namespace gpu_telemetry::queue

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  gpu_telemetry::queue::feed(bytes, data[0] == 0 ? bytes.size() + 1 : data[0]);
  return 0;
}
