#include "queue/redis/redis_messages.h"

#include <algorithm>
#include <charconv>

#include "io/bytes.h"

namespace gpu_telemetry::queue {
namespace {

using Type = RedisReply::Type;

constexpr std::size_t kMillisecondDigits = 13;
constexpr std::size_t kIdSize = 21;
constexpr std::size_t kMaxStampDigits = 15;

bool are_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::int64_t number_in(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

bool is_id(std::string_view text) {
  return text.size() == kIdSize && text[kMillisecondDigits] == '-' &&
         are_digits(text.substr(0, kMillisecondDigits)) &&
         are_digits(text.substr(kMillisecondDigits + 1));
}

Error unexpected(std::string_view what) {
  return corrupt("Redis returned " + std::string(what) + " that our scripts do not return");
}

std::uint64_t count_of(const RedisReply& reply) {
  return reply.integer < 0 ? 0 : static_cast<std::uint64_t>(reply.integer);
}

bool all_of_type(const std::vector<RedisReply>& replies, std::size_t from, std::size_t to,
                 Type type) {
  return to <= replies.size() &&
         std::all_of(replies.begin() + static_cast<std::ptrdiff_t>(from),
                     replies.begin() + static_cast<std::ptrdiff_t>(to),
                     [type](const RedisReply& each) { return each.type == type; });
}

}  // namespace

std::optional<RedisReceipt> parse_redis_receipt(std::string_view text) {
  const std::string_view id = text.substr(0, kIdSize);
  if (!is_id(id)) return std::nullopt;
  if (text.size() == kIdSize) return RedisReceipt{id, {}};
  const std::string_view stamp = text.substr(kIdSize + 1);
  if (text[kIdSize] != '-' || !are_digits(stamp) || stamp.size() > kMaxStampDigits) {
    return std::nullopt;
  }
  return RedisReceipt{id, stamp};
}

std::string format_redis_receipt(std::string_view id, std::int64_t stamp) {
  std::string receipt;
  receipt.reserve(kIdSize + 1 + kMaxStampDigits);
  receipt += id;
  receipt += '-';
  receipt += std::to_string(stamp);
  return receipt;
}

Timestamp published_at(std::string_view message_id) {
  return from_unix_milliseconds(number_in(message_id.substr(0, kMillisecondDigits)));
}

std::string encode_headers(const Headers& headers) {
  std::string encoded;
  if (headers.empty()) return encoded;
  std::size_t size = 0;
  for (const auto& [name, value] : headers) size += name.size() + value.size();
  encoded = std::to_string(size);
  encoded += ':';
  io::append_varint(encoded, headers.size());
  for (const auto& [name, value] : headers) {
    io::append_varint(encoded, name.size());
    encoded += name;
    io::append_varint(encoded, value.size());
    encoded += value;
  }
  return encoded;
}

Result<Headers> decode_headers(std::string_view text) {
  Headers headers;
  if (text.empty()) return headers;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return corrupt("headers without their size");
  io::ByteReader reader(text.substr(colon + 1));
  const std::uint64_t count = reader.varint();
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    const std::string_view name = reader.sized_bytes();
    const std::string_view value = reader.sized_bytes();
    if (reader.ok()) headers.emplace_back(name, value);
  }
  if (!reader.ok() || reader.remaining() != 0) return corrupt("headers that end early or late");
  return headers;
}

Result<RedisReply> without_error(Result<RedisReply> answer) {
  if (!answer || !answer->is_error()) return answer;
  const std::string& text = answer->text;
  if (const std::size_t at = text.find("QUEUEFULL "); at != std::string::npos) {
    const std::string_view what = std::string_view(text).substr(at + 10);
    if (what.substr(0, 8) == "messages") {
      return full("the topic holds as many messages as it takes");
    }
    if (what.substr(0, 5) == "bytes") return full("the queue holds as many bytes as it takes");
    if (what.substr(0, 6) == "groups") {
      return full("the topic has " + std::to_string(kMaxGroupsPerTopic) +
                  " consumer groups already, the most it takes");
    }
    if (what.substr(0, 7) == "sources") {
      return full("the topic has " + std::to_string(kMaxBoardsPerTopic) +
                  " shared sources already, the most it takes");
    }
    if (what.substr(0, 7) == "members") {
      return full("the source has " + std::to_string(kMaxMembersPerBoard) +
                  " members already, the most it takes");
    }
    return full("the queue has " + std::to_string(kMaxTopics) +
                " topics already, the most it takes");
  }
  // `shard lost`, or the shard and its position.
  if (const std::size_t at = text.find("SHARDS "); at != std::string::npos) {
    const std::string_view what = std::string_view(text).substr(at + 7);
    const std::string_view shard = what.substr(0, what.find(' '));
    const std::string_view how = what.substr(std::min(what.size(), shard.size() + 1));
    return conflict("shard " + std::string(shard) + ": " +
                    (how == "lost" ? "its lease is lost"
                                   : "its position is " + std::string(how) + " and not as said"));
  }
  if (text.find("OOM") != std::string::npos) {
    return full("Redis has reached its maxmemory: " + text);
  }
  if (text.substr(0, 4) == "ERR " || text.substr(0, 9) == "WRONGTYPE") {
    return internal("a script failed in Redis: " + text);
  }
  return unavailable("Redis answered: " + text);
}

Result<std::vector<PublishResult>> read_published(RedisReply reply, std::size_t messages) {
  auto& parts = reply.elements;
  if (parts.size() < 2 || parts.size() % 2 != 0 || parts[1].type != Type::kInteger) {
    return unexpected("ids");
  }
  std::vector<PublishResult> results(messages);
  for (std::size_t i = 2; i < parts.size(); i += 2) {
    const std::uint64_t index = count_of(parts[i]);
    if (index >= messages) return unexpected("ids");
    results[index].message_id = std::move(parts[i + 1].text);
    results[index].duplicate = true;
  }
  std::int64_t sequence = parts[1].integer;
  for (PublishResult& result : results) {
    if (result.duplicate) continue;
    result.message_id = parts[0].text + std::to_string(sequence++);
  }
  return results;
}

Result<ShardAssignment> read_assignment(const RedisReply& reply) {
  const auto& parts = reply.elements;
  if (parts.size() < 3 || (parts.size() - 3) % 4 != 0) return unexpected("shards");
  ShardAssignment assignment;
  assignment.members = static_cast<std::uint32_t>(count_of(parts[0]));
  assignment.finished = parts[1].integer != 0;
  assignment.surplus = static_cast<std::uint32_t>(count_of(parts[2]));
  for (std::size_t i = 3; i < parts.size(); i += 4) {
    ShardLease& lease = assignment.held.emplace_back();
    lease.shard = static_cast<std::uint32_t>(count_of(parts[i]));
    lease.fence = count_of(parts[i + 1]);
    const std::string& position = parts[i + 2].text;
    const char* const end = position.data() + position.size();
    if (std::from_chars(position.data(), end, lease.position).ptr != end || position.empty()) {
      return unexpected("a position");
    }
    lease.finished = parts[i + 3].integer != 0;
  }
  return assignment;
}

Result<FetchedFromRedis> read_fetched(RedisReply reply) {
  auto& parts = reply.elements;
  if (parts.size() < 2 || (parts.size() - 2) % 4 != 0 ||
      !all_of_type(parts, 0, 2, Type::kInteger)) {
    return unexpected("deliveries");
  }
  FetchedFromRedis fetched;
  if (parts[0].integer >= 0) fetched.next_due = std::chrono::milliseconds{parts[0].integer};
  fetched.deliveries.reserve((parts.size() - 2) / 4);
  for (std::size_t i = 2; i < parts.size(); i += 4) {
    if (!is_id(parts[i].text)) return unexpected("a message id");
    auto headers = decode_headers(parts[i + 2].text);
    if (!headers) return headers.error().at("message " + parts[i].text);
    Delivery& delivery = fetched.deliveries.emplace_back();
    delivery.receipt = format_redis_receipt(parts[i].text, parts[1].integer);
    delivery.published = published_at(parts[i].text);
    delivery.message_id = std::move(parts[i].text);
    delivery.delivery_count = static_cast<std::uint32_t>(count_of(parts[i + 1]));
    delivery.headers = std::move(*headers);
    delivery.payload = std::make_shared<const std::string>(std::move(parts[i + 3].text));
  }
  return fetched;
}

Result<void> read_dead_letters(RedisReply reply, std::vector<DeadLetter>& letters,
                               std::string& at_end) {
  auto& parts = reply.elements;
  if (parts.size() % 7 != 0 || !all_of_type(parts, 0, parts.size(), Type::kString)) {
    return unexpected("dead letters");
  }
  for (std::size_t i = 0; i < parts.size(); i += 7) {
    if (!is_id(parts[i + 1].text)) return unexpected("a message id");
    auto headers = decode_headers(parts[i + 5].text);
    if (!headers) return headers.error().at("dead letter " + parts[i + 1].text);
    DeadLetter& letter = letters.emplace_back();
    letter.published = published_at(parts[i + 1].text);
    letter.message_id = std::move(parts[i + 1].text);
    letter.delivery_count = static_cast<std::uint32_t>(number_in(parts[i + 2].text));
    letter.died = from_unix_milliseconds(number_in(parts[i + 3].text));
    letter.reason = std::move(parts[i + 4].text);
    letter.headers = std::move(*headers);
    letter.payload = std::make_shared<const std::string>(std::move(parts[i + 6].text));
    at_end = std::move(parts[i].text);
  }
  return {};
}

Result<StatisticsFromRedis> read_statistics(std::string topic, const RedisReply& reply) {
  StatisticsFromRedis read;
  const auto& parts = reply.elements;
  if (parts.empty()) return read;
  if (parts.size() != 8 || !all_of_type(parts, 0, 5, Type::kInteger) ||
      !all_of_type(parts, 5, 8, Type::kArray)) {
    return unexpected("statistics");
  }
  TopicStatistics& statistics = read.topic.emplace();
  statistics.topic = std::move(topic);
  statistics.messages = count_of(parts[0]);
  statistics.bytes = count_of(parts[1]);
  statistics.published_total = count_of(parts[2]);
  statistics.rejected_total = count_of(parts[3]);
  statistics.deduplicated_total = count_of(parts[4]);
  for (const RedisReply& removed : parts[5].elements) read.removed_groups.push_back(removed.text);
  for (const RedisReply& each : parts[6].elements) {
    const auto& of = each.elements;
    if (of.size() != 14 || !all_of_type(of, 1, 14, Type::kInteger)) return unexpected("statistics");
    GroupStatistics& group = statistics.groups.emplace_back();
    group.group = of[0].text;
    std::uint64_t* const counts[] = {
        &group.ready,       &group.in_flight,         &group.delayed,
        &group.dead,        &group.delivered_total,   &group.redelivered_total,
        &group.acked_total, &group.nacked_total,      &group.expired_total,
        &group.dead_total,  &group.dead_dropped_total};
    for (std::size_t i = 0; i < std::size(counts); ++i) *counts[i] = count_of(of[i + 1]);
    group.oldest_age = std::chrono::milliseconds{of[12].integer};
    group.consumers = count_of(of[13]);
  }
  std::sort(statistics.groups.begin(), statistics.groups.end(),
            [](const auto& a, const auto& b) { return a.group < b.group; });
  for (const RedisReply& each : parts[7].elements) {
    const auto& of = each.elements;
    if (of.size() != 4 || !all_of_type(of, 1, 4, Type::kInteger)) return unexpected("statistics");
    statistics.sources.push_back(
        {of[0].text, count_of(of[1]), count_of(of[2]), of[3].integer != 0});
  }
  std::sort(statistics.sources.begin(), statistics.sources.end(),
            [](const auto& a, const auto& b) { return a.source < b.source; });
  return read;
}

}  // namespace gpu_telemetry::queue
