// How messages, receipts and errors stand in arguments and replies of the scripts. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/message_queue.h"
#include "queue/redis/redis_reply.h"

namespace gpu_telemetry::queue {

// A message id is that of its stream entry: 13 digits of milliseconds, `-`, 7 digits. A receipt is
// the id, `-` and the delivery's stamp.
struct RedisReceipt {
  std::string_view id;
  std::string_view stamp;  // empty: a message id alone
};
std::optional<RedisReceipt> parse_redis_receipt(std::string_view text);
std::string format_redis_receipt(std::string_view id, std::int64_t stamp);
Timestamp published_at(std::string_view message_id);

// Empty when there are none. Otherwise the bytes of all names and values in decimal, `:`, then as
// varints and bytes: how many, and of each the name and the value.
std::string encode_headers(const Headers& headers);
// Errors: kCorrupt.
Result<Headers> decode_headers(std::string_view text);

// An answer that is not an error of Redis. Errors: kConflict (of a progress), kFull (a limit of the
// queue or of Redis's memory), kUnavailable, kInternal (our script failed).
Result<RedisReply> without_error(Result<RedisReply> answer);

// The replies of the scripts. Errors: kCorrupt, when they are not what the scripts return.
Result<std::vector<PublishResult>> read_published(RedisReply reply, std::size_t messages);
Result<ShardAssignment> read_assignment(const RedisReply& reply);
struct FetchedFromRedis {
  std::vector<Delivery> deliveries;
  // Until a lease or a delay ends; none when there is none.
  std::optional<std::chrono::milliseconds> next_due;
};
Result<FetchedFromRedis> read_fetched(RedisReply reply);
// Appends; `at_end` is the letter's place, for the call that goes on after it.
Result<void> read_dead_letters(RedisReply reply, std::vector<DeadLetter>& letters,
                               std::string& at_end);
struct StatisticsFromRedis {
  std::optional<TopicStatistics> topic;  // none: it has gone
  std::vector<std::string> removed_groups;
};
Result<StatisticsFromRedis> read_statistics(std::string topic, const RedisReply& reply);

}  // namespace gpu_telemetry::queue
