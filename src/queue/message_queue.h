// The message queue as services see it: at-least-once, competing consumers, asynchronous.
//
// Implementations: memory/, durable/, redis/ (engines) and http_client/ (a queue service
// elsewhere). All pass queue_contract.h. The queue carries opaque bytes; it does not know what
// is in them.
//
// Words. A *topic* holds messages. Within a *consumer group* each message goes to one consumer;
// each group gets every message. A group exists from its first fetch, and starts at the oldest
// message still held; a topic without a group keeps its messages. A *delivery* leases a message to
// a consumer until a deadline, under a *receipt*; ack, nack and extend name the receipt, so that a
// late ack cannot settle a redelivery. What is neither acked nor extended by the deadline is ready
// again and counts as a retry; so does a nack. After `max_retries` redeliveries a message goes to
// the group's *dead letters* instead, or at once on a nack that says so.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "domain/duration.h"
#include "domain/result.h"
#include "domain/time.h"
#include "queue/shards.h"

namespace gpu_telemetry::queue {

template <class T>
using Async = boost::asio::awaitable<T>;

// Immutable and shared, so that an engine in this process never copies a message.
using Payload = std::shared_ptr<const std::string>;
using Headers = std::vector<std::pair<std::string, std::string>>;

// Limits of every engine. `telemetry`, `collectors` and the like: [A-Za-z0-9._-]{1,100}.
inline constexpr std::size_t kMaxTopics = 100;
inline constexpr std::size_t kMaxNameSize = 100;
inline constexpr std::size_t kMaxGroupsPerTopic = 100;
// Messages of one publish, deliveries of one fetch, entries of one ack, nack, extend, redrive or
// purge.
inline constexpr std::size_t kMaxBatch = 10'000;
inline constexpr std::size_t kMaxDeduplicationIdSize = 200;
inline constexpr std::size_t kMaxConsumerNameSize = 200;
inline constexpr std::size_t kMaxReasonSize = 1'000;  // of a dead letter; what is longer is cut
// The longest delay of a nack and the longest visibility of an extend.
inline constexpr std::chrono::hours kMaxDelay{24};
bool is_valid_name(std::string_view topic_or_group);

struct OutgoingMessage {
  Payload payload;  // not null
  Headers headers;
  // Not empty: for 5 minutes the same id in the same topic is the same message, and answers the
  // first one's message id (`duplicate` in the result). At most 200 bytes.
  std::string deduplication_id;
};

struct PublishResult {
  std::string message_id;  // unique in the queue, for ever; empty in a repetition of a progress
  bool duplicate = false;
};

struct FetchRequest {
  std::string topic;
  std::string group;
  std::string consumer;  // shown in statistics; need not be unique
  std::size_t max_messages = 1;
  // How long to wait for the first message. Zero: do not wait.
  std::chrono::milliseconds wait{0};
};

struct Delivery {
  std::string message_id;
  std::string receipt;  // opaque; names this delivery
  Payload payload;
  Headers headers;
  Timestamp published;
  std::uint32_t delivery_count = 1;  // 1 the first time
};

// What became of one entry of ack, nack or extend.
enum class Settled {
  kDone,
  kUnknown,  // no such lease: settled already, expired and gone elsewhere, or never given out
};

struct SettleRequest {
  std::string topic;
  std::string group;
  // Each a receipt, or a message id alone, which settles the group's current lease of it.
  std::vector<std::string> receipts_or_ids;
};

struct NackOptions {
  std::chrono::milliseconds delay{0};  // before it is ready again
  // Straight to the dead letters, with this reason.
  std::optional<std::string> dead_letter_reason;
  // A hand-back at shutdown: ready at once and not counted as a retry. Excludes the others.
  bool release = false;
};

struct DeadLetter {
  std::string message_id;
  Payload payload;
  Headers headers;
  Timestamp published;
  Timestamp died;
  std::uint32_t delivery_count = 0;
  std::string reason;
};

struct GroupStatistics {
  std::string group;
  std::uint64_t ready = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t delayed = 0;
  std::uint64_t dead = 0;
  std::uint64_t delivered_total = 0;  // totals count from the start of the process
  std::uint64_t redelivered_total = 0;
  std::uint64_t acked_total = 0;
  std::uint64_t nacked_total = 0;
  std::uint64_t expired_total = 0;
  std::uint64_t dead_total = 0;
  std::uint64_t dead_dropped_total = 0;     // dead letters that fell to a limit
  std::chrono::milliseconds oldest_age{0};  // of what is not yet acked; zero when there is none
  std::uint64_t consumers = 0;              // that fetched within the last minute
};

struct TopicStatistics {
  std::string topic;
  std::uint64_t messages = 0;  // held: ready, delayed or leased in at least one group
  std::uint64_t bytes = 0;     // payloads and headers of those
  std::uint64_t published_total = 0;
  std::uint64_t rejected_total = 0;  // by back-pressure
  std::uint64_t deduplicated_total = 0;
  std::vector<GroupStatistics> groups;
  std::vector<SourceStatistics> sources;  // by name
};

// How an engine behaves; every engine takes these.
struct QueueOptions {
  std::chrono::milliseconds visibility_timeout = std::chrono::minutes{5};
  std::uint32_t max_retries = 3;
  // Ready, delayed and leased messages of one topic; past it publish says kFull.
  std::uint64_t max_messages_per_topic = 10'000;
  // Of all topics together: payloads, headers, and in engines that hold messages in memory what it
  // takes to keep one, which was measured with messages of 50 and 1,000 bytes.
  ByteSize max_bytes = 128_MiB;
  ByteSize message_overhead{160};
  std::uint64_t max_dead_letters = 10'000;   // a group; past it the oldest is dropped and counted
  ByteSize max_dead_letter_bytes = 128_MiB;  // of all groups together; past it the same
  ByteSize max_message_size = 8_MiB;         // payload and headers
  std::chrono::milliseconds deduplication_window = std::chrono::minutes{5};
  // Of a group that nobody uses, and of a board of shards that has no member.
  std::chrono::milliseconds idle_group_lifetime = std::chrono::hours{1};
  // Groups that are kept however long they idle.
  std::vector<std::string> permanent_groups = {"collectors"};
};

// Functions may be called from any thread and any number may be in flight; each resumes on its
// caller's executor. A coroutine that is cancelled (asio terminal cancellation) settles nothing
// half-way: a fetch either hands its messages to the caller or leaves them ready. A publish, or a
// call of shards(), whose answer has to be waited for ends with kCancelled then, and may have been
// done: publish again with the same deduplication ids or progress.
//
// Errors common to all: kInvalid (names, sizes, counts, named in the message), kUnavailable (the
// engine behind does not answer, or is shutting down).
class MessageQueue {
 public:
  virtual ~MessageQueue() = default;

  // All or nothing. Returns after the messages are as safe as the engine makes them (memory: at
  // once; durable: fsync; redis: replied). Results stand in the order of `messages`. Errors: kFull
  // when a limit would be passed, and nothing was accepted.
  //
  // With `progress`, the messages (there may be none then) and the steps are accepted together or
  // not at all:
  //  - The member holds the shard of every step under the step's fence, and the shard's position is
  //    `from`: accepted. The positions are `to`, and the membership begins its ttl again.
  //  - It holds them so and the positions are `to` already, and a step has another `from` or there
  //    are no messages: this is a repetition whose answer was lost. Success, nothing is accepted,
  //    and each result says `duplicate` and has no message id.
  //  - Else kConflict: the message names the shard, and whether its lease is lost or its position
  //    another. Ask `shards` for what is held now and go on from there.
  // With kFull, nothing moved either. kUnavailable may mean that an earlier publish of a shard is
  // still being stored: the same call again.
  virtual Async<Result<std::vector<PublishResult>>> publish(
      std::string topic, std::vector<OutgoingMessage> messages,
      std::optional<ShardProgress> progress) = 0;
  Async<Result<std::vector<PublishResult>>> publish(std::string topic,
                                                    std::vector<OutgoingMessage> messages) {
    return publish(std::move(topic), std::move(messages), std::nullopt);
  }

  // Join, renew, give back and leave (shards.h). In this order: members whose time is over go and
  // their shards are free; the caller joins or renews; what it gives back is free; free shards are
  // granted to it up to its share, unfinished ones first, then by number. The first call of a
  // topic creates it.
  //
  // A board is forgotten, so that a later run begins anew, when its last member leaves and every
  // shard is finished, or when it has had no member for `idle_group_lifetime`. A topic with a board
  // stays. Leases count against no limit of messages; durable: positions are as safe as the
  // messages that they were published with, and after a restart members have their whole ttl again.
  // Errors: kFull (too many boards or members).
  virtual Async<Result<ShardAssignment>> shards(ShardRequest request) = 0;

  // At most `max_messages` deliveries, oldest first; none when the wait ends without any.
  virtual Async<Result<std::vector<Delivery>>> fetch(FetchRequest request) = 0;

  // Results stand in the order of the request's entries.
  virtual Async<Result<std::vector<Settled>>> ack(SettleRequest request) = 0;
  virtual Async<Result<std::vector<Settled>>> nack(SettleRequest request, NackOptions options) = 0;
  // The lease now ends `visibility` from now. The receipt stays the same.
  virtual Async<Result<std::vector<Settled>>> extend(SettleRequest request,
                                                     std::chrono::milliseconds visibility) = 0;

  virtual Async<Result<std::vector<TopicStatistics>>> statistics() = 0;

  // Oldest first, at most `max`.
  virtual Async<Result<std::vector<DeadLetter>>> dead_letters(std::string topic, std::string group,
                                                              std::size_t max) = 0;
  // Back to ready in this group, the count at zero; all of them when `message_ids` is empty.
  // Returns how many. Counts against no limit (they were accepted once).
  virtual Async<Result<std::uint64_t>> redrive(std::string topic, std::string group,
                                               std::vector<std::string> message_ids) = 0;
  // Forgets dead letters; all of them when `message_ids` is empty. Returns how many.
  virtual Async<Result<std::uint64_t>> purge(std::string topic, std::string group,
                                             std::vector<std::string> message_ids) = 0;
  // Errors: kNotFound.
  virtual Async<Result<void>> delete_group(std::string topic, std::string group) = 0;

  // Ends waiting fetches with kUnavailable and refuses what comes after. What is held stays held as
  // far as the engine is durable. Idempotent. Called before the contexts of waiting fetches end.
  virtual void shut_down() = 0;
};

}  // namespace gpu_telemetry::queue
