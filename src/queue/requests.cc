#include "queue/requests.h"

#include <algorithm>

namespace gpu_telemetry::queue {
namespace {

bool is_name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

Result<void> check_name(std::string_view what, std::string_view name) {
  if (is_valid_name(name)) return {};
  return invalid(std::string(what) + " \"" + std::string(name.substr(0, kMaxNameSize)) +
                 "\" is not a name: 1 to " + std::to_string(kMaxNameSize) +
                 " characters of A-Z a-z 0-9 . _ - are accepted");
}

Result<void> check_count(std::string_view what, std::size_t count) {
  if (count >= 1 && count <= kMaxBatch) return {};
  return invalid(std::to_string(count) + " " + std::string(what) + " in one request: 1 to " +
                 std::to_string(kMaxBatch) + " are accepted");
}

Result<void> check_delay(std::string_view what, std::chrono::milliseconds delay) {
  if (delay.count() >= 0 && delay <= kMaxDelay) return {};
  return invalid(std::string(what) + " of " + std::to_string(delay.count()) +
                 " ms: 0 ms to 24 h are accepted");
}

Result<void> check_size(std::string_view what, std::string_view text, std::size_t limit) {
  if (!text.empty() && text.size() <= limit) return {};
  return invalid(std::string(what) + " of " + std::to_string(text.size()) + " bytes: 1 to " +
                 std::to_string(limit) + " are accepted");
}

Result<void> check_shard(std::string_view what, std::uint32_t shard) {
  if (shard < kShards) return {};
  return invalid(std::string(what) + " has shard " + std::to_string(shard) + ": 0 to " +
                 std::to_string(kShards - 1) + " are accepted");
}

Result<void> check_progress(const ShardProgress& progress) {
  if (auto ok = check_size("source", progress.source, kMaxSourceSize); !ok) return ok;
  if (auto ok = check_size("member", progress.member, kMaxMemberSize); !ok) return ok;
  if (progress.steps.empty() || progress.steps.size() > kShards) {
    return invalid(std::to_string(progress.steps.size()) + " steps of progress: 1 to " +
                   std::to_string(kShards) + " are accepted");
  }
  std::uint64_t seen = 0;
  for (const ShardStep& step : progress.steps) {
    if (auto ok = check_shard("a step", step.shard); !ok) return ok;
    const std::uint64_t bit = std::uint64_t{1} << step.shard;
    if ((seen & bit) != 0) {
      return invalid("two steps of shard " + std::to_string(step.shard) + ": one is accepted");
    }
    seen |= bit;
    if (step.from > step.to) {
      return invalid("the step of shard " + std::to_string(step.shard) + " goes back from " +
                     std::to_string(step.from) + " to " + std::to_string(step.to));
    }
  }
  return {};
}

}  // namespace

bool is_valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameSize &&
         std::all_of(name.begin(), name.end(), is_name_character);
}

Result<void> check_topic(std::string_view topic) { return check_name("topic", topic); }

Result<void> check_topic_and_group(std::string_view topic, std::string_view group) {
  if (auto ok = check_name("topic", topic); !ok) return ok;
  return check_name("consumer group", group);
}

std::uint64_t message_size(const Payload& payload, const Headers& headers) {
  std::uint64_t size = payload->size();
  for (const auto& [name, value] : headers) size += name.size() + value.size();
  return size;
}

Result<void> check_publish(const QueueOptions& options, std::string_view topic,
                           std::span<const OutgoingMessage> messages,
                           const ShardProgress* progress) {
  if (auto ok = check_topic(topic); !ok) return ok;
  if (progress != nullptr) {
    if (auto ok = check_progress(*progress); !ok) return ok;
  }
  if (progress == nullptr || !messages.empty()) {
    if (auto ok = check_count("messages", messages.size()); !ok) return ok;
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const OutgoingMessage& message = messages[i];
    const auto place = [i] { return "message " + std::to_string(i); };
    if (!message.payload) return invalid(place() + " has no payload");
    if (message.deduplication_id.size() > kMaxDeduplicationIdSize) {
      return invalid(place() + " has an id of " + std::to_string(message.deduplication_id.size()) +
                     " bytes: at most " + std::to_string(kMaxDeduplicationIdSize) +
                     " are accepted");
    }
    const std::uint64_t size = message_size(message.payload, message.headers);
    if (size > options.max_message_size.bytes) {
      return invalid(place() + " has " + std::to_string(size) +
                     " bytes of payload and headers: at most " +
                     std::to_string(options.max_message_size.bytes) + " are accepted");
    }
  }
  return {};
}

Result<void> check_shards(const ShardRequest& request) {
  if (auto ok = check_topic(request.topic); !ok) return ok;
  if (auto ok = check_size("source", request.source, kMaxSourceSize); !ok) return ok;
  if (auto ok = check_size("member", request.member, kMaxMemberSize); !ok) return ok;
  if (request.ttl < kMinMembership || request.ttl > kMaxMembership) {
    return invalid("ttl of " + std::to_string(request.ttl.count()) +
                   " ms: 1 s to 1 h are accepted");
  }
  if (request.give_back.size() > kShards) {
    return invalid(std::to_string(request.give_back.size()) + " shards in give_back: at most " +
                   std::to_string(kShards) + " are accepted");
  }
  for (const std::uint32_t shard : request.give_back) {
    if (auto ok = check_shard("give_back", shard); !ok) return ok;
  }
  return {};
}

Result<void> check_fetch(const FetchRequest& request) {
  if (auto ok = check_topic_and_group(request.topic, request.group); !ok) return ok;
  if (auto ok = check_count("messages", request.max_messages); !ok) return ok;
  if (request.consumer.size() > kMaxConsumerNameSize) {
    return invalid("consumer name of " + std::to_string(request.consumer.size()) +
                   " bytes: at most " + std::to_string(kMaxConsumerNameSize) + " are accepted");
  }
  return check_delay("wait", request.wait);
}

Result<void> check_settle(const SettleRequest& request) {
  if (auto ok = check_topic_and_group(request.topic, request.group); !ok) return ok;
  return check_count("receipts or message ids", request.receipts_or_ids.size());
}

Result<void> check_nack(const SettleRequest& request, const NackOptions& options) {
  if (auto ok = check_settle(request); !ok) return ok;
  if (options.release && (options.delay.count() != 0 || options.dead_letter_reason)) {
    return invalid("a nack that releases takes neither a delay nor a dead-letter reason");
  }
  if (options.dead_letter_reason && options.delay.count() != 0) {
    return invalid("a nack to the dead letters takes no delay");
  }
  return check_delay("delay", options.delay);
}

Result<void> check_extend(const SettleRequest& request, std::chrono::milliseconds visibility) {
  if (auto ok = check_settle(request); !ok) return ok;
  return check_delay("visibility", visibility);
}

Result<void> check_dead_letter_ids(std::string_view topic, std::string_view group,
                                   std::span<const std::string> message_ids) {
  if (auto ok = check_topic_and_group(topic, group); !ok) return ok;
  if (message_ids.empty()) return {};
  return check_count("message ids", message_ids.size());
}

}  // namespace gpu_telemetry::queue
