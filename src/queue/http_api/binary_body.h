// The binary body of the queue's HTTP routes (docs/protocol.md, "The binary body"): what services
// of ours send each other.
//
// Pure and thread-safe. Reading copies what it returns, so the bytes may go. Errors of reading:
// kCorrupt, for anything that is not exactly one body of the kind; kInvalid for a body of another
// version, or with more entries than a request may have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"
#include "queue/http_api/bodies.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue::binary {

// Whether the bytes begin as a body of a version that these functions do not know.
bool is_other_version(std::string_view bytes);

// `progress` may be null.
std::string write_publish(std::string_view topic, const std::vector<OutgoingMessage>& messages,
                          const ShardProgress* progress = nullptr);
Result<PublishBody> read_publish(std::string_view bytes);
std::string write_published(const std::vector<PublishResult>& results);
Result<std::vector<PublishResult>> read_published(std::string_view bytes);

std::string write_shards(const ShardRequest& request);
Result<ShardRequest> read_shards(std::string_view bytes);
std::string write_assignment(const ShardAssignment& assignment);
Result<ShardAssignment> read_assignment(std::string_view bytes);

std::string write_deliveries(const std::vector<Delivery>& deliveries);
Result<std::vector<Delivery>> read_deliveries(std::string_view bytes);

std::string write_settle(Settlement settlement, const SettleBody& body);
Result<SettleBody> read_settle(Settlement settlement, std::string_view bytes);
std::string write_settled(const std::vector<Settled>& results);
Result<std::vector<Settled>> read_settled(std::string_view bytes);

std::string write_statistics(const std::vector<TopicStatistics>& topics);
Result<std::vector<TopicStatistics>> read_statistics(std::string_view bytes);

std::string write_dead_letters(const std::vector<DeadLetter>& letters);
Result<std::vector<DeadLetter>> read_dead_letters(std::string_view bytes);

std::string write_letters(const LettersBody& body);
Result<LettersBody> read_letters(std::string_view bytes);
std::string write_count(std::uint64_t count);
Result<std::uint64_t> read_count(std::string_view bytes);

}  // namespace gpu_telemetry::queue::binary
