// What every engine checks before it looks at a request, in the same words. Pure and thread-safe.
// All errors are kInvalid and say which member was wrong and what is accepted.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

Result<void> check_topic(std::string_view topic);
Result<void> check_topic_and_group(std::string_view topic, std::string_view group);

// `progress` may be null.
Result<void> check_publish(const QueueOptions& options, std::string_view topic,
                           std::span<const OutgoingMessage> messages,
                           const ShardProgress* progress);
Result<void> check_shards(const ShardRequest& request);
Result<void> check_fetch(const FetchRequest& request);
Result<void> check_settle(const SettleRequest& request);
Result<void> check_nack(const SettleRequest& request, const NackOptions& options);
Result<void> check_extend(const SettleRequest& request, std::chrono::milliseconds visibility);
Result<void> check_dead_letter_ids(std::string_view topic, std::string_view group,
                                   std::span<const std::string> message_ids);

// What a message counts against max_bytes: the payload and the names and values of its headers.
std::uint64_t message_size(const Payload& payload, const Headers& headers);

}  // namespace gpu_telemetry::queue
