// Hostile records of the durable queue's log: a replay never crashes, and the ledger that it leaves
// counts what it holds, can be emptied, and comes back from its own checkpoint.
//
// An input is records: type, size (two bytes, little-endian), payload.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "queue/durable/queue_records.h"

namespace gpu_telemetry::queue {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

const Now kNow{from_unix_milliseconds(1'760'000'000'000), SteadyTime{std::chrono::hours{1000}}};

QueueOptions options() {
  QueueOptions limits;
  limits.max_dead_letters = 20;
  return limits;
}

void replay(std::string_view bytes, QueueReplay& replay) {
  for (std::uint64_t segment = 1; bytes.size() >= 3; ++segment) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
    const std::size_t size = byte(1) | byte(2) << 8;
    replay.apply(byte(0), bytes.substr(3, size), segment);
    bytes.remove_prefix(std::min(bytes.size(), 3 + size));
  }
}

void empty(Ledger& ledger) {
  for (const TopicStatistics& topic : ledger.statistics(kNow)) {
    for (const GroupStatistics& group : topic.groups) {
      require(ledger.delete_group(kNow, topic.topic, group.group).has_value());
    }
    FetchRequest request{topic.topic, "collectors", "", kMaxBatch, {}};
    for (;;) {
      const auto found = ledger.fetch(kNow, request);
      require(found.has_value());
      if (found->empty()) break;
      SettleRequest settle{topic.topic, "collectors", {}};
      for (const Delivery& each : *found) {
        require(each.payload != nullptr);
        settle.receipts_or_ids.push_back(each.receipt);
      }
      for (const Settled each : *ledger.ack(kNow, settle)) require(each == Settled::kDone);
    }
  }
  for (const TopicStatistics& topic : ledger.statistics(kNow)) {
    require(topic.messages == 0);
    require(topic.bytes == 0);
  }
}

}  // namespace
}  // namespace gpu_telemetry::queue

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gpu_telemetry::queue;
  QueueReplay read(options(), kNow);
  replay({reinterpret_cast<const char*>(data), size}, read);
  Ledger& ledger = read.ledger();
  ledger.finish_replay(read.identity(), nullptr);
  const std::string checkpoint = ledger.checkpoint(kNow);
  auto again = Ledger::restore(options(), checkpoint, kNow, ledger);
  require(again.has_value());
  require(again->checkpoint(kNow) == checkpoint);
  empty(ledger);
  return 0;
}
