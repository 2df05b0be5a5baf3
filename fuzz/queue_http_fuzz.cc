// Hostile bodies of the queue's HTTP routes: reading never crashes, keeps to the limits of a
// request, and what the binary reader accepts is written back and read the same.
//
// The first byte of an input chooses the reader.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "queue/http_api/base64.h"
#include "queue/http_api/binary_body.h"
#include "queue/http_api/json_body.h"

namespace gpu_telemetry::queue {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class T, class Read, class Write>
void check_round_trip(const Result<T>& first, Read read, Write write) {
  if (!first) {
    require(!first.error().message.empty());
    return;
  }
  const std::string bytes = write(*first);
  const Result<T> second = read(bytes);
  require(second.has_value());
  require(write(*second) == bytes);
}

void check_publish(const Result<PublishBody>& body) {
  if (!body) {
    require(!body.error().message.empty());
    return;
  }
  require(body->messages.size() <= kMaxBatch);
  for (const OutgoingMessage& message : body->messages) require(message.payload != nullptr);
}

std::string write_publish(const PublishBody& body) {
  return binary::write_publish(body.topic, body.messages);
}

void check_json(std::uint8_t which, std::string_view text) {
  constexpr Settlement kSettlements[] = {Settlement::kAck, Settlement::kNack, Settlement::kExtend};
  if (which == 0) {
    check_publish(json::read_publish(text));
  } else if (which == 1) {
    const auto body = json::read_letters(text);
    require(!body || body->message_ids.size() <= kMaxBatch);
  } else {
    const auto body = json::read_settle(kSettlements[which - 2], text);
    require(!body || body->request.receipts_or_ids.size() <= kMaxBatch);
  }
}

void check_binary(std::uint8_t which, std::string_view bytes) {
  switch (which) {
    case 5: {
      const auto body = binary::read_publish(bytes);
      check_publish(body);
      return check_round_trip(body, binary::read_publish, write_publish);
    }
    case 6:
      return check_round_trip(binary::read_published(bytes), binary::read_published,
                              binary::write_published);
    case 7:
      return check_round_trip(binary::read_deliveries(bytes), binary::read_deliveries,
                              binary::write_deliveries);
    case 8:
    case 9:
    case 10: {
      const auto settlement = static_cast<Settlement>(which - 8);
      const auto read = [settlement](std::string_view text) {
        return binary::read_settle(settlement, text);
      };
      const auto write = [settlement](const SettleBody& body) {
        return binary::write_settle(settlement, body);
      };
      return check_round_trip(read(bytes), read, write);
    }
    case 11:
      return check_round_trip(binary::read_settled(bytes), binary::read_settled,
                              binary::write_settled);
    case 12:
      return check_round_trip(binary::read_statistics(bytes), binary::read_statistics,
                              binary::write_statistics);
    case 13:
      return check_round_trip(binary::read_dead_letters(bytes), binary::read_dead_letters,
                              binary::write_dead_letters);
    case 14:
      return check_round_trip(binary::read_letters(bytes), binary::read_letters,
                              binary::write_letters);
    default:
      return check_round_trip(binary::read_count(bytes), binary::read_count, binary::write_count);
  }
}

}  // namespace
}  // namespace gpu_telemetry::queue

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto which = static_cast<std::uint8_t>(data[0] % 16);
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (which < 5) {
    gpu_telemetry::queue::check_json(which, body);
  } else {
    gpu_telemetry::queue::check_binary(which, body);
  }
  return 0;
}
