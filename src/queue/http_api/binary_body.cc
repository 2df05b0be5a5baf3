#include "queue/http_api/binary_body.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "io/bytes.h"

namespace gpu_telemetry::queue::binary {
namespace {

using io::ByteReader;
using std::chrono::milliseconds;

constexpr std::string_view kMagic = "GTQ";
constexpr char kVersion = 1;
constexpr std::size_t kPrefixSize = kMagic.size() + 2;

enum class Kind : char {
  kPublish = 1,
  kPublished,
  kDeliveries,
  kAck,
  kNack,
  kExtend,
  kSettled,
  kStatistics,
  kDeadLetters,
  kLetters,
  kCount,
  kPublishProgress,
  kShards,
  kAssignment,
};

constexpr char kDuplicate = 1;
constexpr char kRelease = 1;
constexpr char kDeadLetter = 2;
constexpr char kLeave = 1;
constexpr char kFinished = 1;

Kind kind_of(Settlement settlement) {
  switch (settlement) {
    case Settlement::kAck:
      return Kind::kAck;
    case Settlement::kNack:
      return Kind::kNack;
    case Settlement::kExtend:
      break;
  }
  return Kind::kExtend;
}

std::string begin(Kind kind, std::size_t expected_size) {
  std::string out;
  out.reserve(kPrefixSize + expected_size);
  out += kMagic;
  out += kVersion;
  out += static_cast<char>(kind);
  return out;
}

void append_text(std::string& out, std::string_view text) {
  io::append_varint(out, text.size());
  out += text;
}

void append_signed(std::string& out, std::int64_t value) {
  io::append_varint(out, io::zigzag(value));
}

void append_headers(std::string& out, const Headers& headers) {
  io::append_varint(out, headers.size());
  for (const auto& [name, value] : headers) {
    append_text(out, name);
    append_text(out, value);
  }
}

void append_texts(std::string& out, const std::vector<std::string>& texts) {
  io::append_varint(out, texts.size());
  for (const std::string& text : texts) append_text(out, text);
}

bool is_of_kind(std::string_view bytes, Kind kind) {
  return bytes.size() >= kPrefixSize && bytes[kPrefixSize - 1] == static_cast<char>(kind);
}

// One body: the prefix is checked at the beginning, and that nothing is left at the end.
class BodyReader {
 public:
  BodyReader(std::string_view bytes, Kind kind) : reader_(bytes) {
    const std::string_view prefix = reader_.bytes(kPrefixSize);
    if (is_other_version(bytes)) {
      error_ = invalid("a binary body of version " +
                       std::to_string(static_cast<unsigned char>(prefix[kMagic.size()])) +
                       ": this program knows version 1");
    } else if (!reader_.ok() || prefix.substr(0, kMagic.size()) != kMagic ||
               prefix.back() != static_cast<char>(kind)) {
      reader_.fail();
    }
  }

  std::uint64_t number() { return reader_.varint(); }
  std::int64_t signed_number() { return reader_.signed_varint(); }
  std::uint32_t small_number() {
    const std::uint64_t value = reader_.varint();
    if (value > UINT32_MAX) reader_.fail();
    return static_cast<std::uint32_t>(value);
  }
  char byte() { return reader_.fixed<char>(); }
  std::string text() { return std::string(reader_.sized_bytes()); }
  Payload payload() { return std::make_shared<const std::string>(reader_.sized_bytes()); }
  milliseconds duration() {
    const std::uint64_t value = reader_.varint();
    if (value > static_cast<std::uint64_t>(INT64_MAX)) reader_.fail();
    return milliseconds{static_cast<std::int64_t>(value)};
  }
  Timestamp time() { return from_unix_milliseconds(reader_.signed_varint()); }

  // The number of entries that follow, each of at least `least` bytes.
  std::size_t count(std::size_t least) {
    const std::uint64_t value = reader_.varint();
    if (value > reader_.remaining() / least) reader_.fail();
    return reader_.ok() ? static_cast<std::size_t>(value) : 0;
  }
  // Of a request.
  std::size_t bounded_count(std::size_t least) {
    const std::size_t value = count(least);
    if (value <= kMaxBatch) return value;
    error_ = invalid(std::to_string(value) + " entries in one request: at most " +
                     std::to_string(kMaxBatch) + " are accepted");
    reader_.fail();
    return 0;
  }
  Headers headers() {
    Headers read(count(2));
    for (auto& [name, value] : read) {
      name = text();
      value = text();
    }
    return read;
  }
  std::vector<std::string> texts() {
    std::vector<std::string> read(bounded_count(1));
    for (std::string& each : read) each = text();
    return read;
  }

  template <class T>
  Result<T> end(T value) const {
    if (error_.code == ErrorCode::kInvalid) return error_;
    if (reader_.ok() && reader_.remaining() == 0) return value;
    return error_;
  }

 private:
  ByteReader reader_;
  Error error_ = corrupt("not a sound binary body of this kind (docs/protocol.md)");
};

std::size_t size_of(const Headers& headers) {
  std::size_t size = 2;
  for (const auto& [name, value] : headers) size += name.size() + value.size() + 6;
  return size;
}

// Room for the numbers and lengths of an entry beside its texts.
constexpr std::size_t kEntryOverhead = 40;

}  // namespace

bool is_other_version(std::string_view bytes) {
  return bytes.size() >= kPrefixSize && bytes.substr(0, kMagic.size()) == kMagic &&
         bytes[kMagic.size()] != kVersion;
}

namespace {

void append_progress(std::string& out, const ShardProgress& progress) {
  append_text(out, progress.source);
  append_text(out, progress.member);
  io::append_varint(out, progress.steps.size());
  for (const ShardStep& step : progress.steps) {
    for (const std::uint64_t value : {std::uint64_t{step.shard}, step.fence, step.from, step.to}) {
      io::append_varint(out, value);
    }
    out += step.finished ? kFinished : '\0';
  }
}

ShardProgress read_progress(BodyReader& reader) {
  ShardProgress progress;
  progress.source = reader.text();
  progress.member = reader.text();
  progress.steps.resize(reader.bounded_count(5));
  for (ShardStep& step : progress.steps) {
    step.shard = reader.small_number();
    step.fence = reader.number();
    step.from = reader.number();
    step.to = reader.number();
    step.finished = (reader.byte() & kFinished) != 0;
  }
  return progress;
}

}  // namespace

std::string write_publish(std::string_view topic, const std::vector<OutgoingMessage>& messages,
                          const ShardProgress* progress) {
  std::size_t size = topic.size() + kEntryOverhead;
  for (const OutgoingMessage& message : messages) {
    size += message.deduplication_id.size() + size_of(message.headers) + message.payload->size() +
            kEntryOverhead;
  }
  if (progress != nullptr) size += progress->steps.size() * kEntryOverhead + 500;
  std::string out = begin(progress != nullptr ? Kind::kPublishProgress : Kind::kPublish, size);
  append_text(out, topic);
  if (progress != nullptr) append_progress(out, *progress);
  io::append_varint(out, messages.size());
  for (const OutgoingMessage& message : messages) {
    append_text(out, message.deduplication_id);
    append_headers(out, message.headers);
    append_text(out, *message.payload);
  }
  return out;
}

Result<PublishBody> read_publish(std::string_view bytes) {
  const bool with_progress = is_of_kind(bytes, Kind::kPublishProgress);
  BodyReader reader(bytes, with_progress ? Kind::kPublishProgress : Kind::kPublish);
  PublishBody body;
  body.topic = reader.text();
  if (with_progress) body.progress = read_progress(reader);
  body.messages.resize(reader.bounded_count(3));
  for (OutgoingMessage& message : body.messages) {
    message.deduplication_id = reader.text();
    message.headers = reader.headers();
    message.payload = reader.payload();
  }
  return reader.end(std::move(body));
}

std::string write_published(const std::vector<PublishResult>& results) {
  std::string out = begin(Kind::kPublished, results.size() * kEntryOverhead);
  io::append_varint(out, results.size());
  for (const PublishResult& result : results) {
    out += result.duplicate ? kDuplicate : '\0';
    append_text(out, result.message_id);
  }
  return out;
}

Result<std::vector<PublishResult>> read_published(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kPublished);
  std::vector<PublishResult> results(reader.count(2));
  for (PublishResult& result : results) {
    result.duplicate = (reader.byte() & kDuplicate) != 0;
    result.message_id = reader.text();
  }
  return reader.end(std::move(results));
}

std::string write_shards(const ShardRequest& request) {
  std::string out = begin(Kind::kShards, 500 + request.give_back.size() * 2);
  append_text(out, request.topic);
  append_text(out, request.source);
  append_text(out, request.member);
  io::append_varint(out, static_cast<std::uint64_t>(request.ttl.count()));
  out += request.leave ? kLeave : '\0';
  io::append_varint(out, request.give_back.size());
  for (const std::uint32_t shard : request.give_back) io::append_varint(out, shard);
  return out;
}

Result<ShardRequest> read_shards(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kShards);
  ShardRequest request;
  request.topic = reader.text();
  request.source = reader.text();
  request.member = reader.text();
  request.ttl = reader.duration();
  request.leave = (reader.byte() & kLeave) != 0;
  request.give_back.resize(reader.bounded_count(1));
  for (std::uint32_t& shard : request.give_back) shard = reader.small_number();
  return reader.end(std::move(request));
}

std::string write_assignment(const ShardAssignment& assignment) {
  std::string out = begin(Kind::kAssignment, (assignment.held.size() + 1) * kEntryOverhead);
  out += assignment.finished ? kFinished : '\0';
  io::append_varint(out, assignment.surplus);
  io::append_varint(out, assignment.members);
  io::append_varint(out, assignment.held.size());
  for (const ShardLease& lease : assignment.held) {
    for (const std::uint64_t value : {std::uint64_t{lease.shard}, lease.fence, lease.position}) {
      io::append_varint(out, value);
    }
    out += lease.finished ? kFinished : '\0';
  }
  return out;
}

Result<ShardAssignment> read_assignment(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kAssignment);
  ShardAssignment assignment;
  assignment.finished = (reader.byte() & kFinished) != 0;
  assignment.surplus = reader.small_number();
  assignment.members = reader.small_number();
  assignment.held.resize(reader.count(4));
  for (ShardLease& lease : assignment.held) {
    lease.shard = reader.small_number();
    lease.fence = reader.number();
    lease.position = reader.number();
    lease.finished = (reader.byte() & kFinished) != 0;
  }
  return reader.end(std::move(assignment));
}

std::string write_deliveries(const std::vector<Delivery>& deliveries) {
  std::size_t size = kEntryOverhead;
  for (const Delivery& delivery : deliveries) {
    size += delivery.message_id.size() + delivery.receipt.size() + size_of(delivery.headers) +
            delivery.payload->size() + kEntryOverhead;
  }
  std::string out = begin(Kind::kDeliveries, size);
  io::append_varint(out, deliveries.size());
  for (const Delivery& delivery : deliveries) {
    append_text(out, delivery.message_id);
    append_text(out, delivery.receipt);
    append_signed(out, unix_milliseconds(delivery.published));
    io::append_varint(out, delivery.delivery_count);
    append_headers(out, delivery.headers);
    append_text(out, *delivery.payload);
  }
  return out;
}

Result<std::vector<Delivery>> read_deliveries(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kDeliveries);
  std::vector<Delivery> deliveries(reader.bounded_count(6));
  for (Delivery& delivery : deliveries) {
    delivery.message_id = reader.text();
    delivery.receipt = reader.text();
    delivery.published = reader.time();
    delivery.delivery_count = reader.small_number();
    delivery.headers = reader.headers();
    delivery.payload = reader.payload();
  }
  return reader.end(std::move(deliveries));
}

std::string write_settle(Settlement settlement, const SettleBody& body) {
  std::string out =
      begin(kind_of(settlement), (body.request.receipts_or_ids.size() + 8) * kEntryOverhead);
  append_text(out, body.request.topic);
  append_text(out, body.request.group);
  if (settlement == Settlement::kNack) {
    const bool dead = body.nack.dead_letter_reason.has_value();
    out += static_cast<char>((body.nack.release ? kRelease : 0) | (dead ? kDeadLetter : 0));
    io::append_varint(out, static_cast<std::uint64_t>(body.nack.delay.count()));
    append_text(out, body.nack.dead_letter_reason.value_or(""));
  } else if (settlement == Settlement::kExtend) {
    io::append_varint(out, static_cast<std::uint64_t>(body.visibility.count()));
  }
  append_texts(out, body.request.receipts_or_ids);
  return out;
}

Result<SettleBody> read_settle(Settlement settlement, std::string_view bytes) {
  BodyReader reader(bytes, kind_of(settlement));
  SettleBody body;
  body.request.topic = reader.text();
  body.request.group = reader.text();
  if (settlement == Settlement::kNack) {
    const char flags = reader.byte();
    body.nack.delay = reader.duration();
    std::string reason = reader.text();
    body.nack.release = (flags & kRelease) != 0;
    if ((flags & kDeadLetter) != 0) body.nack.dead_letter_reason = std::move(reason);
  } else if (settlement == Settlement::kExtend) {
    body.visibility = reader.duration();
  }
  body.request.receipts_or_ids = reader.texts();
  return reader.end(std::move(body));
}

std::string write_settled(const std::vector<Settled>& results) {
  std::string out = begin(Kind::kSettled, results.size() + kEntryOverhead);
  io::append_varint(out, results.size());
  for (const Settled result : results) out += result == Settled::kDone ? '\1' : '\0';
  return out;
}

Result<std::vector<Settled>> read_settled(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kSettled);
  std::vector<Settled> results(reader.count(1));
  for (Settled& result : results) {
    result = reader.byte() != 0 ? Settled::kDone : Settled::kUnknown;
  }
  return reader.end(std::move(results));
}

std::string write_statistics(const std::vector<TopicStatistics>& topics) {
  std::string out = begin(Kind::kStatistics, topics.size() * 200);
  io::append_varint(out, topics.size());
  for (const TopicStatistics& topic : topics) {
    append_text(out, topic.topic);
    for (const std::uint64_t value : {topic.messages, topic.bytes, topic.published_total,
                                      topic.rejected_total, topic.deduplicated_total}) {
      io::append_varint(out, value);
    }
    io::append_varint(out, topic.groups.size());
    for (const GroupStatistics& group : topic.groups) {
      append_text(out, group.group);
      const auto oldest =
          static_cast<std::uint64_t>(std::max<std::int64_t>(group.oldest_age.count(), 0));
      for (const std::uint64_t value :
           {group.ready, group.in_flight, group.delayed, group.dead, group.delivered_total,
            group.redelivered_total, group.acked_total, group.nacked_total, group.expired_total,
            group.dead_total, group.dead_dropped_total, oldest, group.consumers}) {
        io::append_varint(out, value);
      }
    }
    io::append_varint(out, topic.sources.size());
    for (const SourceStatistics& source : topic.sources) {
      append_text(out, source.source);
      io::append_varint(out, source.members);
      io::append_varint(out, source.shards_held);
      out += source.finished ? kFinished : '\0';
    }
  }
  return out;
}

Result<std::vector<TopicStatistics>> read_statistics(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kStatistics);
  std::vector<TopicStatistics> topics(reader.count(8));
  for (TopicStatistics& topic : topics) {
    topic.topic = reader.text();
    for (std::uint64_t* value : {&topic.messages, &topic.bytes, &topic.published_total,
                                 &topic.rejected_total, &topic.deduplicated_total}) {
      *value = reader.number();
    }
    topic.groups.resize(reader.count(14));
    for (GroupStatistics& group : topic.groups) {
      group.group = reader.text();
      for (std::uint64_t* value :
           {&group.ready, &group.in_flight, &group.delayed, &group.dead, &group.delivered_total,
            &group.redelivered_total, &group.acked_total, &group.nacked_total, &group.expired_total,
            &group.dead_total, &group.dead_dropped_total}) {
        *value = reader.number();
      }
      group.oldest_age = reader.duration();
      group.consumers = reader.number();
    }
    topic.sources.resize(reader.count(4));
    for (SourceStatistics& source : topic.sources) {
      source.source = reader.text();
      source.members = reader.number();
      source.shards_held = reader.number();
      source.finished = (reader.byte() & kFinished) != 0;
    }
  }
  return reader.end(std::move(topics));
}

std::string write_dead_letters(const std::vector<DeadLetter>& letters) {
  std::size_t size = kEntryOverhead;
  for (const DeadLetter& letter : letters) {
    size += letter.message_id.size() + letter.reason.size() + size_of(letter.headers) +
            letter.payload->size() + kEntryOverhead;
  }
  std::string out = begin(Kind::kDeadLetters, size);
  io::append_varint(out, letters.size());
  for (const DeadLetter& letter : letters) {
    append_text(out, letter.message_id);
    append_signed(out, unix_milliseconds(letter.published));
    append_signed(out, unix_milliseconds(letter.died));
    io::append_varint(out, letter.delivery_count);
    append_text(out, letter.reason);
    append_headers(out, letter.headers);
    append_text(out, *letter.payload);
  }
  return out;
}

Result<std::vector<DeadLetter>> read_dead_letters(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kDeadLetters);
  std::vector<DeadLetter> letters(reader.bounded_count(7));
  for (DeadLetter& letter : letters) {
    letter.message_id = reader.text();
    letter.published = reader.time();
    letter.died = reader.time();
    letter.delivery_count = reader.small_number();
    letter.reason = reader.text();
    letter.headers = reader.headers();
    letter.payload = reader.payload();
  }
  return reader.end(std::move(letters));
}

std::string write_letters(const LettersBody& body) {
  std::string out = begin(Kind::kLetters, (body.message_ids.size() + 8) * kEntryOverhead);
  append_text(out, body.topic);
  append_text(out, body.group);
  append_texts(out, body.message_ids);
  return out;
}

Result<LettersBody> read_letters(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kLetters);
  LettersBody body;
  body.topic = reader.text();
  body.group = reader.text();
  body.message_ids = reader.texts();
  return reader.end(std::move(body));
}

std::string write_count(std::uint64_t count) {
  std::string out = begin(Kind::kCount, 10);
  io::append_varint(out, count);
  return out;
}

Result<std::uint64_t> read_count(std::string_view bytes) {
  BodyReader reader(bytes, Kind::kCount);
  const std::uint64_t count = reader.number();
  return reader.end(count);
}

}  // namespace gpu_telemetry::queue::binary
