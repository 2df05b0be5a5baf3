// What the queue's GET and DELETE routes take from the query. Pure. Errors: kInvalid, naming the
// parameter and what is accepted.
#pragma once

#include <string>

#include "domain/result.h"
#include "http/message.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

inline constexpr std::size_t kDefaultPrefetch = 10;
inline constexpr std::size_t kDefaultDeadLetters = 100;
inline constexpr std::chrono::seconds kMaxWait{60};

Result<FetchRequest> read_fetch_query(const http::Request& request);
// `max_messages` is the prefetch.
Result<FetchRequest> read_subscribe_query(const http::Request& request);

struct GroupQuery {
  std::string topic;
  std::string group;
  std::size_t max = 0;
};
Result<GroupQuery> read_dead_letters_query(const http::Request& request);
Result<GroupQuery> read_group_query(const http::Request& request);
Result<void> read_empty_query(const http::Request& request);

}  // namespace gpu_telemetry::queue
