// The queue's requests and answers as JSON (docs/protocol.md).
//
// Requests are read member by member into what they mean, without a document in between: a hostile
// body costs no more memory than the texts in it. Pure and thread-safe. Errors of reading:
// kInvalid, naming the member and what is accepted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"
#include "queue/http_api/bodies.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue::json {

inline constexpr std::size_t kMaxHeaders = 100;  // of one message

Result<PublishBody> read_publish(std::string_view text);
Result<ShardRequest> read_shards(std::string_view text);
Result<SettleBody> read_settle(Settlement settlement, std::string_view text);
Result<LettersBody> read_letters(std::string_view text);

std::string write_published(const std::vector<PublishResult>& results, bool batch);
std::string write_assignment(const ShardAssignment& assignment);
std::string write_deliveries(const std::vector<Delivery>& deliveries);
std::string write_delivery(const Delivery& delivery);
std::string write_settled(const std::vector<std::string>& receipts_or_ids,
                          const std::vector<Settled>& results);
std::string write_statistics(const std::vector<TopicStatistics>& topics);
std::string write_dead_letters(const std::vector<DeadLetter>& letters);
std::string write_count(std::uint64_t count);

}  // namespace gpu_telemetry::queue::json
