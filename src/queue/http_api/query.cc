#include "queue/http_api/query.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "domain/duration.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {
namespace {

using Names = std::initializer_list<std::string_view>;

Result<void> check_names(const http::QueryParameters& query, Names accepted) {
  std::string known;
  for (const std::string_view name : accepted) {
    if (!known.empty()) known += ", ";
    known += name;
  }
  for (const auto& [name, value] : query.all()) {
    if (std::find(accepted.begin(), accepted.end(), name) == accepted.end()) {
      return invalid("there is no query parameter '" + name.substr(0, 100) +
                     "' here: " + (known.empty() ? "none is" : known + " are") + " accepted");
    }
    if (query.get_all(name).size() > 1) {
      return invalid("the query parameter '" + name + "' is there twice");
    }
  }
  return {};
}

Result<std::string> required(const http::QueryParameters& query, std::string_view name) {
  const auto value = query.get(name);
  if (!value) return invalid("the query parameter '" + std::string(name) + "' is missing");
  return std::string(*value);
}

// 1 to kMaxBatch.
Result<std::size_t> count(const http::QueryParameters& query, std::string_view name,
                          std::size_t otherwise) {
  const auto text = query.get(name);
  if (!text) return otherwise;
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error == std::errc{} && end == text->data() + text->size() && value >= 1 &&
      value <= kMaxBatch) {
    return value;
  }
  return invalid("'" + std::string(name) + "' must be a number from 1 to " +
                 std::to_string(kMaxBatch));
}

Result<FetchRequest> read_consumer(const http::Request& request) {
  auto topic = required(request.query, "topic");
  if (!topic) return topic.error();
  auto group = required(request.query, "consumer_group");
  if (!group) return group.error();
  FetchRequest wanted;
  wanted.topic = std::move(*topic);
  wanted.group = std::move(*group);
  wanted.consumer = request.query.get("consumer_id").value_or(request.remote_address);
  return wanted;
}

Result<FetchRequest> checked(FetchRequest wanted) {
  if (auto sound = check_fetch(wanted); !sound) return sound.error();
  return wanted;
}

}  // namespace

Result<FetchRequest> read_fetch_query(const http::Request& request) {
  const Names names = {"topic", "consumer_group", "consumer_id", "max", "wait"};
  if (auto known = check_names(request.query, names); !known) return known.error();
  auto wanted = read_consumer(request);
  if (!wanted) return wanted.error();
  const auto max = count(request.query, "max", 1);
  if (!max) return max.error();
  wanted->max_messages = *max;
  if (const auto text = request.query.get("wait")) {
    const auto wait = parse_duration(*text);
    if (!wait) return wait.error().at("wait");
    if (*wait > kMaxWait) {
      return invalid("'wait' is " + format_duration(*wait) + ": at most " +
                     format_duration(kMaxWait) + " are accepted");
    }
    wanted->wait = std::chrono::ceil<std::chrono::milliseconds>(*wait);
  }
  return checked(std::move(*wanted));
}

Result<FetchRequest> read_subscribe_query(const http::Request& request) {
  const Names names = {"topic", "consumer_group", "consumer_id", "prefetch"};
  if (auto known = check_names(request.query, names); !known) return known.error();
  auto wanted = read_consumer(request);
  if (!wanted) return wanted.error();
  const auto prefetch = count(request.query, "prefetch", kDefaultPrefetch);
  if (!prefetch) return prefetch.error();
  wanted->max_messages = *prefetch;
  return checked(std::move(*wanted));
}

Result<GroupQuery> read_group_query(const http::Request& request) {
  const Names names = {"topic", "consumer_group"};
  if (auto known = check_names(request.query, names); !known) return known.error();
  auto consumer = read_consumer(request);
  if (!consumer) return consumer.error();
  GroupQuery query;
  query.topic = std::move(consumer->topic);
  query.group = std::move(consumer->group);
  return query;
}

Result<GroupQuery> read_dead_letters_query(const http::Request& request) {
  const Names names = {"topic", "consumer_group", "max"};
  if (auto known = check_names(request.query, names); !known) return known.error();
  auto consumer = read_consumer(request);
  if (!consumer) return consumer.error();
  const auto max = count(request.query, "max", kDefaultDeadLetters);
  if (!max) return max.error();
  GroupQuery query;
  query.topic = std::move(consumer->topic);
  query.group = std::move(consumer->group);
  query.max = *max;
  return query;
}

Result<void> read_empty_query(const http::Request& request) {
  return check_names(request.query, {});
}

}  // namespace gpu_telemetry::queue
