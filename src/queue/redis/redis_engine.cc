#include "queue/redis/redis_engine.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <charconv>
#include <span>
#include <unordered_map>

#include "observability/log.h"
#include "queue/redis/redis_connection.h"
#include "queue/redis/redis_messages.h"
#include "queue/redis/redis_scripts.h"
#include "queue/redis/redis_waits.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {

namespace asio = boost::asio;

namespace {

// A wait looks again this often, whatever it hears, and oftener while it cannot hear.
constexpr std::chrono::seconds kLookEvery{5};
constexpr std::chrono::seconds kLookEveryUnheard{1};
constexpr std::chrono::minutes kTidyEvery{1};
constexpr std::size_t kHeaderArguments = 3;  // prefix, time, topic
constexpr std::size_t kGroupArguments = 4;   // group and the limits of its dead letters

std::string name_key(const std::string& name) { return "{" + name + "}:"; }

RedisConnectionOptions connection_options(const RedisQueueOptions& options) {
  RedisConnectionOptions made;
  made.server = options.server;
  made.connect_timeout = options.connect_timeout;
  made.reply_timeout = options.reply_timeout;
  made.patience = options.patience;
  return made;
}

struct ReadyMessage {
  std::string_view topic;
  std::uint64_t messages = 0;
  std::chrono::milliseconds delay{0};
};

// `topic count delay`, as the scripts publish it.
std::optional<ReadyMessage> parse_ready(std::string_view text) {
  const std::size_t first = text.find(' ');
  const std::size_t second = text.find(' ', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  ReadyMessage message;
  message.topic = text.substr(0, first);
  std::int64_t delay = 0;
  std::from_chars(text.data() + first + 1, text.data() + second, message.messages);
  std::from_chars(text.data() + second + 1, text.data() + text.size(), delay);
  message.delay = std::chrono::milliseconds{
      std::clamp<std::int64_t>(delay, 0, std::chrono::milliseconds{kMaxDelay}.count())};
  return message;
}

Error naming(Error error, const std::string& source) {
  if (error.code == ErrorCode::kConflict) error.message += " (source \"" + source + "\")";
  return error;
}

// A settle's entries that can be receipts, and where they stood.
struct Entries {
  std::vector<RedisReceipt> receipts;
  std::vector<std::size_t> places;
};

Entries entries_of(const SettleRequest& request) {
  Entries entries;
  for (std::size_t i = 0; i < request.receipts_or_ids.size(); ++i) {
    const auto receipt = parse_redis_receipt(request.receipts_or_ids[i]);
    if (!receipt) continue;
    entries.receipts.push_back(*receipt);
    entries.places.push_back(i);
  }
  return entries;
}

}  // namespace

RedisEngine::RedisEngine(RedisQueueOptions options, const Clock& clock, asio::any_io_executor io)
    : options_(std::move(options)),
      prefix_(name_key(options_.name)),
      meta_(prefix_ + "meta"),
      clock_(clock),
      io_(std::move(io)),
      waits_(std::make_shared<RedisWaits>(clock_, io_)),
      tidy_timer_(asio::make_strand(io_)) {}

void RedisEngine::start() {
  RedisConnectionOptions commands = connection_options(options_);
  commands.scripts = load_commands();
  commands.greeting = commands.scripts;
  commands_ = std::make_shared<RedisConnection>(std::move(commands), io_);
  commands_->start();

  RedisConnectionOptions listening = connection_options(options_);
  RedisCommand subscribe(2);
  subscribe.add("SUBSCRIBE").add(prefix_ + "wake");
  listening.greeting.push_back(subscribe.take());
  listening.on_message = [waits = waits_](const std::string& text) {
    if (const auto message = parse_ready(text)) {
      waits->ready(message->topic, message->messages, message->delay);
    }
  };
  listening.on_change = [waits = waits_, heard = hears_](bool connected) {
    *heard = connected;
    waits->look_again();
  };
  listener_ = std::make_shared<RedisConnection>(std::move(listening), io_);
  listener_->start();

  asio::co_spawn(
      tidy_timer_.get_executor(), [self = shared_from_this()] { return self->tidy(); },
      asio::detached);
}

void RedisEngine::stop() {
  shut_down();
  commands_->stop();
  listener_->stop();
  asio::post(tidy_timer_.get_executor(),
             [self = shared_from_this()] { self->tidy_timer_.cancel(); });
}

void RedisEngine::shut_down() {
  shut_down_ = true;
  waits_->shut_down();
}

void RedisEngine::advance_time(std::chrono::milliseconds by) {
  offset_ += by.count();
  waits_->look_again();
}

// Groups that idle go, also when nobody asks for statistics.
Async<void> RedisEngine::tidy() {
  while (!shut_down_) {
    boost::system::error_code cancelled;
    tidy_timer_.expires_after(kTidyEvery);
    co_await tidy_timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    if (cancelled || shut_down_) co_return;
    const auto ignored = co_await statistics();
    static_cast<void>(ignored);
  }
}

Error RedisEngine::shut_down_error() { return unavailable("the queue is shutting down"); }

// --- commands

RedisCommand RedisEngine::script(RedisScript script, std::string_view topic, std::size_t arguments,
                                 std::size_t bytes) const {
  RedisCommand command(4 + kHeaderArguments + arguments, bytes + 250);
  command.add("EVALSHA").add(sha_of(script)).add("1").add(meta_);
  command.add(prefix_).add(offset_.load()).add(topic);
  return command;
}

RedisCommand RedisEngine::group_script(RedisScript which, std::string_view topic,
                                       std::string_view group, std::size_t arguments,
                                       std::size_t bytes) const {
  RedisCommand command = script(which, topic, kGroupArguments + arguments, bytes);
  command.add(group)
      .add(static_cast<std::int64_t>(options_.queue.max_retries))
      .add(options_.queue.max_dead_letters)
      .add(options_.queue.max_dead_letter_bytes.bytes);
  return command;
}

Async<Result<RedisReply>> RedisEngine::call(RedisCommand command) {
  if (shut_down_) co_return shut_down_error();
  auto answer = co_await commands_->call(command.take());
  co_return without_error(std::move(answer));
}

Async<Result<RedisReply>> RedisEngine::call_until_cancelled(RedisCommand command) {
  if (shut_down_) co_return shut_down_error();
  auto answer = co_await commands_->call_until_cancelled(command.take());
  co_return without_error(std::move(answer));
}

// All of them; the first error when one has failed.
Async<Result<std::vector<RedisReply>>> RedisEngine::call_all(std::vector<RedisCommand> commands) {
  if (shut_down_) co_return shut_down_error();
  std::vector<std::string> bytes;
  for (RedisCommand& command : commands) bytes.push_back(command.take());
  auto answers = co_await commands_->call_all(std::move(bytes));
  std::vector<RedisReply> replies;
  for (auto& each : answers) {
    auto reply = without_error(std::move(each));
    if (!reply) co_return reply.error();
    replies.push_back(std::move(*reply));
  }
  co_return replies;
}

// --- publish

RedisCommand RedisEngine::publish_command(const std::string& topic,
                                          const std::vector<OutgoingMessage>& messages,
                                          const ShardProgress* progress) const {
  bool with_ids = false;
  bool with_headers = false;
  std::size_t bytes = 0;
  std::uint64_t size = 0;
  for (const OutgoingMessage& message : messages) {
    with_ids |= !message.deduplication_id.empty();
    with_headers |= !message.headers.empty();
    bytes += message.payload->size() + message.deduplication_id.size() + 16;
    size += message_size(message.payload, message.headers);
  }
  const std::size_t each = with_ids ? 4 : with_headers ? 2 : 1;
  const std::size_t steps = progress != nullptr ? 2 + 5 * progress->steps.size() : 0;
  RedisCommand command =
      script(RedisScript::kPublish, topic, 7 + messages.size() * each + steps, bytes + 12 * steps);
  command.add(options_.queue.max_messages_per_topic)
      .add(options_.queue.max_bytes.bytes)
      .add(std::uint64_t{kMaxTopics})
      .add(std::int64_t{options_.queue.deduplication_window.count()})
      .add(std::uint64_t{messages.size()})
      .add(size)
      .add(std::uint64_t{each});
  for (const OutgoingMessage& message : messages) {
    command.add(*message.payload);
    if (each > 1) command.add(encode_headers(message.headers));
    if (!with_ids) continue;
    command.add(message.deduplication_id);
    command.add(message_size(message.payload, message.headers));
  }
  if (progress == nullptr) return command;
  command.add(progress->source).add(progress->member);
  for (const ShardStep& step : progress->steps) {
    command.add(std::uint64_t{step.shard}).add(step.fence).add(step.from).add(step.to);
    command.add(step.finished ? "1" : "0");
  }
  return command;
}

Async<Result<std::vector<PublishResult>>> RedisEngine::publish(
    std::string topic, std::vector<OutgoingMessage> messages,
    std::optional<ShardProgress> progress) {
  const ShardProgress* steps = progress ? &*progress : nullptr;
  if (auto ok = check_publish(options_.queue, topic, messages, steps); !ok) co_return ok.error();
  auto reply = co_await call_until_cancelled(publish_command(topic, messages, steps));
  if (!reply && progress) co_return naming(reply.error(), progress->source);
  if (!reply) co_return reply.error();
  co_return read_published(std::move(*reply), messages.size());
}

// --- shards

Async<Result<ShardAssignment>> RedisEngine::shards(ShardRequest request) {
  if (auto ok = check_shards(request); !ok) co_return ok.error();
  RedisCommand command =
      script(RedisScript::kShareSource, request.topic, 8 + request.give_back.size());
  command.add(request.source)
      .add(request.member)
      .add(std::int64_t{request.ttl.count()})
      .add(request.leave ? "1" : "0")
      .add(std::uint64_t{kMaxTopics})
      .add(std::uint64_t{kMaxBoardsPerTopic})
      .add(std::uint64_t{kMaxMembersPerBoard})
      .add(std::int64_t{options_.queue.idle_group_lifetime.count()});
  for (const std::uint32_t shard : request.give_back) command.add(std::uint64_t{shard});
  auto reply = co_await call_until_cancelled(std::move(command));
  if (!reply) co_return reply.error();
  co_return read_assignment(*reply);
}

// --- fetch

RedisCommand RedisEngine::fetch_command(const FetchRequest& request) const {
  RedisCommand command = group_script(RedisScript::kFetch, request.topic, request.group, 5);
  command.add(request.consumer)
      .add(std::uint64_t{std::min(request.max_messages, kMaxScriptIds)})
      .add(std::int64_t{options_.queue.visibility_timeout.count()})
      .add(std::uint64_t{kMaxTopics})
      .add(std::uint64_t{kMaxGroupsPerTopic});
  return command;
}

// Gives deliveries back that nobody is there to take. Waits for nothing.
void RedisEngine::hand_back(const FetchRequest& request, const std::vector<Delivery>& deliveries) {
  if (deliveries.empty()) return;
  RedisCommand command =
      group_script(RedisScript::kNack, request.topic, request.group, 3 + 2 * deliveries.size());
  command.add("release").add("0").add("");
  for (const Delivery& delivery : deliveries) {
    const auto receipt = parse_redis_receipt(delivery.receipt);
    command.add(receipt->id).add(receipt->stamp);
  }
  commands_->send(command.take(), nullptr);
}

Async<Result<std::vector<Delivery>>> RedisEngine::fetch(FetchRequest request) {
  if (auto ok = check_fetch(request); !ok) co_return ok.error();
  const SteadyTime deadline = clock_.steady_now() + request.wait;
  RedisWaits::Wait wait;
  wait.ticket = waits_->new_ticket();
  wait.topic = request.topic;
  wait.group = request.group;
  wait.max_messages = request.max_messages;
  for (;;) {
    wait.seen = waits_->generation(request.topic);
    auto reply = co_await call(fetch_command(request));
    if (!reply) co_return reply.error();
    auto fetched = read_fetched(std::move(*reply));
    if (!fetched) co_return fetched.error();
    auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) {
      hand_back(request, fetched->deliveries);
      co_return cancelled("the fetch was cancelled while it looked for messages");
    }
    if (shut_down_) {
      hand_back(request, fetched->deliveries);
      co_return shut_down_error();
    }
    const SteadyTime now = clock_.steady_now();
    if (!fetched->deliveries.empty() || now >= deadline) co_return std::move(fetched->deliveries);

    const SteadyTime fallback =
        now + std::min<std::chrono::milliseconds>(*hears_ ? kLookEvery : kLookEveryUnheard,
                                                  options_.queue.visibility_timeout);
    wait.until = std::min(deadline, fallback);
    if (fetched->next_due) wait.until = std::min(wait.until, now + *fetched->next_due);
    const RedisWake why = co_await waits_->wait(wait);
    cancellation = co_await asio::this_coro::cancellation_state;
    if (why == RedisWake::kCancelled || cancellation.cancelled() != asio::cancellation_type::none) {
      // It may have been woken for messages; others look in its place.
      waits_->ready(request.topic, request.max_messages, std::chrono::milliseconds{0});
      co_return cancelled("the fetch was cancelled while it waited");
    }
    if (why == RedisWake::kShutDown) co_return shut_down_error();
  }
}

// --- settling

// Runs the script over the entries, kMaxScriptIds a call.
template <class Arguments>
Async<Result<std::vector<Settled>>> RedisEngine::settle(RedisScript script,
                                                        const SettleRequest& request,
                                                        std::size_t extra, Arguments add) {
  std::vector<Settled> results(request.receipts_or_ids.size(), Settled::kUnknown);
  const Entries entries = entries_of(request);
  std::vector<RedisCommand> commands;
  for (std::size_t first = 0; first < entries.receipts.size(); first += kMaxScriptIds) {
    const std::size_t count = std::min(kMaxScriptIds, entries.receipts.size() - first);
    RedisCommand command =
        group_script(script, request.topic, request.group, extra + 2 * count, 40 * count);
    add(command);
    for (std::size_t i = first; i < first + count; ++i) {
      command.add(entries.receipts[i].id).add(entries.receipts[i].stamp);
    }
    commands.push_back(std::move(command));
  }
  if (commands.empty()) {
    if (shut_down_) co_return shut_down_error();
    co_return results;
  }
  auto replies = co_await call_all(std::move(commands));
  if (!replies) co_return replies.error();
  std::size_t at = 0;
  for (const RedisReply& reply : *replies) {
    for (const char each : reply.text) {
      if (at == entries.places.size()) break;
      if (each == '1') results[entries.places[at]] = Settled::kDone;
      ++at;
    }
  }
  if (at != entries.places.size()) co_return corrupt("Redis answered for too few receipts");
  co_return results;
}

Async<Result<std::vector<Settled>>> RedisEngine::ack(SettleRequest request) {
  if (auto ok = check_settle(request); !ok) co_return ok.error();
  auto nothing = [](RedisCommand&) {};
  co_return co_await settle(RedisScript::kAck, request, 0, nothing);
}

Async<Result<std::vector<Settled>>> RedisEngine::nack(SettleRequest request, NackOptions options) {
  if (auto ok = check_nack(request, options); !ok) co_return ok.error();
  auto add = [&options](RedisCommand& command) {
    command.add(options.release ? "release" : options.dead_letter_reason ? "dead" : "retry");
    command.add(std::int64_t{options.delay.count()});
    command.add(std::string_view(options.dead_letter_reason ? *options.dead_letter_reason : "")
                    .substr(0, kMaxReasonSize));
  };
  co_return co_await settle(RedisScript::kNack, request, 3, add);
}

Async<Result<std::vector<Settled>>> RedisEngine::extend(SettleRequest request,
                                                        std::chrono::milliseconds visibility) {
  if (auto ok = check_extend(request, visibility); !ok) co_return ok.error();
  auto add = [visibility](RedisCommand& command) { command.add(std::int64_t{visibility.count()}); };
  co_return co_await settle(RedisScript::kExtend, request, 1, add);
}

// --- statistics

Async<Result<std::vector<TopicStatistics>>> RedisEngine::statistics() {
  RedisCommand list(2);
  list.add("SMEMBERS").add(prefix_ + "topics");
  auto topics = co_await call(std::move(list));
  if (!topics) co_return topics.error();
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (cancellation.cancelled() != asio::cancellation_type::none) co_return cancelled("cancelled");
  const auto& permanent = options_.queue.permanent_groups;
  std::vector<RedisCommand> commands;
  for (const RedisReply& topic : topics->elements) {
    RedisCommand command =
        group_script(RedisScript::kStatistics, topic.text, "", 1 + permanent.size());
    command.add(std::int64_t{options_.queue.idle_group_lifetime.count()});
    for (const std::string& group : permanent) command.add(group);
    commands.push_back(std::move(command));
  }
  auto replies = co_await call_all(std::move(commands));
  if (!replies) co_return replies.error();
  std::vector<TopicStatistics> all;
  for (std::size_t i = 0; i < replies->size(); ++i) {
    auto read = read_statistics(topics->elements[i].text, (*replies)[i]);
    if (!read) co_return read.error();
    for (const std::string& group : read->removed_groups) {
      observability::log_info("Removed a consumer group that nobody used",
                              {{"topic", topics->elements[i].text}, {"consumer_group", group}});
    }
    if (read->topic) all.push_back(std::move(*read->topic));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.topic < b.topic; });
  co_return all;
}

// --- dead letters

Async<Result<std::vector<DeadLetter>>> RedisEngine::dead_letters(std::string topic,
                                                                 std::string group,
                                                                 std::size_t max) {
  if (auto ok = check_topic_and_group(topic, group); !ok) co_return ok.error();
  std::vector<DeadLetter> letters;
  std::string from = "-";
  while (letters.size() < max) {
    const std::size_t count = std::min(kMaxScriptIds, max - letters.size());
    RedisCommand command = group_script(RedisScript::kDeadLetters, topic, group, 2);
    command.add(from).add(std::uint64_t{count});
    auto reply = co_await call(std::move(command));
    if (!reply) co_return reply.error();
    const std::size_t before = letters.size();
    std::string last;
    if (auto ok = read_dead_letters(std::move(*reply), letters, last); !ok) co_return ok.error();
    if (letters.size() - before < count) break;
    from = "(" + last;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) co_return cancelled("cancelled");
  }
  co_return letters;
}

// Redrives or purges the letters named, or all.
Async<Result<std::uint64_t>> RedisEngine::for_letters(RedisScript script, std::string topic,
                                                      std::string group,
                                                      std::vector<std::string> message_ids) {
  if (auto ok = check_dead_letter_ids(topic, group, message_ids); !ok) co_return ok.error();
  std::uint64_t total = 0;
  for (std::size_t first = 0;; first += kMaxScriptIds) {
    const std::size_t left = message_ids.size() - std::min(first, message_ids.size());
    const std::size_t count = std::min(kMaxScriptIds, left);
    RedisCommand command = group_script(script, topic, group, count, 24 * count);
    for (std::size_t i = first; i < first + count; ++i) command.add(message_ids[i]);
    auto reply = co_await call(std::move(command));
    if (!reply) co_return reply.error();
    total += static_cast<std::uint64_t>(reply->integer);
    const bool more = message_ids.empty()
                          ? static_cast<std::size_t>(reply->integer) == kMaxScriptIds
                          : left > kMaxScriptIds;
    if (!more) co_return total;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) co_return cancelled("cancelled");
  }
}

Async<Result<void>> RedisEngine::delete_group(std::string topic, std::string group) {
  if (auto ok = check_topic_and_group(topic, group); !ok) co_return ok.error();
  auto reply = co_await call(group_script(RedisScript::kDeleteGroup, topic, group, 0));
  if (!reply) co_return reply.error();
  if (reply->integer == 0) {
    co_return not_found("topic \"" + topic + "\" has no consumer group \"" + group + "\"");
  }
  co_return Result<void>{};
}

}  // namespace gpu_telemetry::queue
