// What the bodies of the queue's HTTP requests and answers say, however they are written:
// json_body.h and binary_body.h turn them into bytes and back. docs/protocol.md.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

inline constexpr std::string_view kBinaryMediaType = "application/x-gpu-telemetry-queue";

struct PublishBody {
  std::string topic;
  std::vector<OutgoingMessage> messages;
  std::optional<ShardProgress> progress;
  bool batch = true;  // answered with a list of results
};

enum class Settlement { kAck, kNack, kExtend };

struct SettleBody {
  SettleRequest request;
  NackOptions nack;                         // of a nack
  std::chrono::milliseconds visibility{0};  // of an extension
};

// For redrive and purge.
struct LettersBody {
  std::string topic;
  std::string group;
  std::vector<std::string> message_ids;  // empty: all
};

}  // namespace gpu_telemetry::queue
