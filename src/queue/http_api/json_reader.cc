// Reading requests: Boost.JSON's parser calls a handler for each piece, and the handler knows the
// few shapes that a request may have.
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <optional>
#include <utility>

#include "domain/duration.h"
#include "queue/http_api/base64.h"
#include "queue/http_api/json_body.h"

namespace gpu_telemetry::queue::json {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxDepth = 8;

enum Member : unsigned {
  kTopic = 1U << 0,
  kGroup = 1U << 1,
  kPayload = 1U << 2,
  kPayloadBase64 = 1U << 3,
  kHeaders = 1U << 4,
  kId = 1U << 5,
  kMessages = 1U << 6,
  kMessageId = 1U << 7,
  kReceipt = 1U << 8,
  kMessageIds = 1U << 9,
  kReceipts = 1U << 10,
  kDelay = 1U << 11,
  kDeadLetter = 1U << 12,
  kRelease = 1U << 13,
  kVisibility = 1U << 14,
  kProgress = 1U << 15,
  kSource = 1U << 16,
  kReader = 1U << 17,  // "member"
  kTtl = 1U << 18,
  kGiveBack = 1U << 19,
  kLeave = 1U << 20,
  kSteps = 1U << 21,
  kShard = 1U << 22,
  kFence = 1U << 23,
  kFrom = 1U << 24,
  kTo = 1U << 25,
  kFinished = 1U << 26,
};

struct MemberName {
  std::string_view name;
  Member member;
};
constexpr std::array<MemberName, 27> kNames = {{
    {"topic", kTopic},
    {"consumer_group", kGroup},
    {"payload", kPayload},
    {"payload_base64", kPayloadBase64},
    {"headers", kHeaders},
    {"id", kId},
    {"messages", kMessages},
    {"message_id", kMessageId},
    {"receipt", kReceipt},
    {"message_ids", kMessageIds},
    {"receipts", kReceipts},
    {"delay", kDelay},
    {"dead_letter", kDeadLetter},
    {"release", kRelease},
    {"visibility", kVisibility},
    {"progress", kProgress},
    {"source", kSource},
    {"member", kReader},
    {"ttl", kTtl},
    {"give_back", kGiveBack},
    {"leave", kLeave},
    {"steps", kSteps},
    {"shard", kShard},
    {"fence", kFence},
    {"from", kFrom},
    {"to", kTo},
    {"finished", kFinished},
}};

constexpr unsigned kOfMessage = kPayload | kPayloadBase64 | kHeaders | kId;
constexpr unsigned kOfProgress = kSource | kReader | kSteps;
constexpr unsigned kOfStep = kShard | kFence | kFrom | kTo | kFinished;
constexpr unsigned kEntries = kMessageId | kReceipt | kMessageIds | kReceipts;

std::string_view name_of(unsigned member) {
  for (const MemberName& each : kNames) {
    if (each.member == member) return each.name;
  }
  return "?";
}

std::string names_of(unsigned members) {
  std::string names;
  for (const MemberName& each : kNames) {
    if ((members & each.member) == 0) continue;
    if (!names.empty()) names += ", ";
    names += each.name;
  }
  return names;
}

// All that a request can say.
struct Request {
  unsigned seen = 0;
  std::string topic, group, delay, dead_letter, visibility, source, reader, ttl;
  std::vector<std::string> entries;
  std::vector<std::uint32_t> give_back;
  bool release = false;
  bool leave = false;
  PublishBody publish;
};

// The state of reading one request. Its functions are those that bj::basic_parser calls.
class Reader {
 public:
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

  explicit Reader(unsigned allowed) : allowed_(allowed) {}

  Request& request() { return request_; }
  const std::string& problem() const { return problem_; }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }

  bool on_object_begin(bj::error_code& ec) {
    switch (place_) {
      case Place::kStart:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
      case Place::kMessage:
        if (member_ == kProgress) return begin_progress();
        if (member_ != kHeaders) break;
        outside_ = std::exchange(place_, Place::kHeaders);
        return true;
      case Place::kMessages:
        return begin_message(ec);
      case Place::kSteps:
        return begin_step(ec);
      case Place::kHeaders:
      case Place::kList:
      case Place::kShards:
      case Place::kProgress:
      case Place::kStep:
      case Place::kEnd:
        break;
    }
    return wrong_type(ec);
  }
  bool on_object_end(std::size_t, bj::error_code& ec) {
    switch (place_) {
      case Place::kHeaders:
        place_ = outside_;
        return true;
      case Place::kMessage:
        place_ = Place::kMessages;
        return end_message(ec);
      case Place::kStep:
        place_ = Place::kSteps;
        return require_all(step_seen_, kOfStep & ~kFinished, "a step", ec);
      case Place::kProgress:
        place_ = Place::kTop;
        return require_all(progress_seen_, kOfProgress, "progress", ec);
      default:
        place_ = Place::kEnd;
        if ((allowed_ & kMessages) == 0 || (request_.seen & kMessages) != 0) return true;
        // Progress alone: there was nothing in what was read.
        if ((request_.seen & (kProgress | kOfMessage)) == kProgress) return true;
        request_.publish.batch = false;
        return end_message(ec);
    }
  }
  bool on_array_begin(bj::error_code& ec) {
    if (place_ == Place::kProgress && member_ == kSteps) {
      place_ = Place::kSteps;
      return true;
    }
    if (place_ != Place::kTop) return wrong_type(ec);
    if (member_ == kGiveBack) {
      place_ = Place::kShards;
      return true;
    }
    if (member_ == kMessages) {
      place_ = Place::kMessages;
      return true;
    }
    if (member_ != kMessageIds && member_ != kReceipts) return wrong_type(ec);
    place_ = Place::kList;
    return true;
  }
  bool on_array_end(std::size_t, bj::error_code&) {
    place_ = place_ == Place::kSteps ? Place::kProgress : Place::kTop;
    return true;
  }

  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_key(bj::string_view part, std::size_t, bj::error_code& ec) {
    text_.append(part.data(), part.size());
    const std::string key = std::exchange(text_, {});
    if (place_ == Place::kHeaders) return begin_header(key, ec);
    return begin_member(key, ec);
  }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_string(bj::string_view part, std::size_t, bj::error_code& ec) {
    text_.append(part.data(), part.size());
    return take(std::exchange(text_, {}), ec);
  }
  bool on_bool(bool value, bj::error_code& ec) {
    if (place_ == Place::kStep && member_ == kFinished) {
      step().finished = value;
    } else if (place_ == Place::kTop && member_ == kRelease) {
      request_.release = value;
    } else if (place_ == Place::kTop && member_ == kLeave) {
      request_.leave = value;
    } else {
      return wrong_type(ec);
    }
    return true;
  }
  bool on_number_part(bj::string_view, bj::error_code&) { return true; }
  bool on_int64(std::int64_t value, bj::string_view, bj::error_code& ec) {
    return value < 0 ? wrong_type(ec) : take_number(static_cast<std::uint64_t>(value), ec);
  }
  bool on_uint64(std::uint64_t value, bj::string_view, bj::error_code& ec) {
    return take_number(value, ec);
  }
  bool on_double(double, bj::string_view, bj::error_code& ec) { return wrong_type(ec); }
  bool on_null(bj::error_code& ec) { return wrong_type(ec); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  enum class Place {
    kStart,
    kTop,
    kMessages,
    kMessage,
    kHeaders,
    kList,
    kShards,
    kProgress,
    kSteps,
    kStep,
    kEnd,
  };

  bool fail(bj::error_code& ec, std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    ec = bj::error::syntax;  // the text says it better
    return false;
  }

  bool wrong_type(bj::error_code& ec) {
    if (place_ == Place::kStart) return fail(ec, "the body must be a JSON object");
    if (place_ == Place::kMessages) return fail(ec, "messages must be a list of objects");
    if (place_ == Place::kSteps) return fail(ec, "steps must be a list of objects");
    if (place_ == Place::kShards) return fail(ec, "give_back must be numbers of shards");
    if (place_ == Place::kList) return fail(ec, std::string(name_of(member_)) + " must be texts");
    if (place_ == Place::kHeaders) return fail(ec, "the values of headers must be texts");
    return fail(ec, std::string(name_of(member_)) + " must be " + std::string(expected()));
  }
  std::string_view expected() const {
    switch (member_) {
      case kHeaders:
        return "an object of texts";
      case kProgress:
        return "an object";
      case kMessages:
      case kSteps:
        return "a list of objects";
      case kGiveBack:
        return "a list of numbers";
      case kShard:
      case kFence:
      case kFrom:
      case kTo:
        return "a whole number from 0 on";
      case kMessageIds:
      case kReceipts:
        return "a list of texts";
      case kRelease:
      case kLeave:
      case kFinished:
        return "true or false";
      case kPayload:
        return "a text (bytes that are not go to payload_base64)";
      default:
        return "a text";
    }
  }

  bool begin_member(const std::string& key, bj::error_code& ec) {
    const auto [allowed, seen_here] = members_here();
    unsigned& seen = *seen_here;
    for (const MemberName& each : kNames) {
      if (each.name != key || (allowed & each.member) == 0) continue;
      if ((seen & each.member) != 0) return fail(ec, key + " is there twice");
      seen |= each.member;
      member_ = each.member;
      return true;
    }
    return fail(ec, "there is no member \"" + key.substr(0, 100) + "\" here: " + names_of(allowed) +
                        " are accepted");
  }

  // Those that are accepted in this object, and those that were seen in it.
  std::pair<unsigned, unsigned*> members_here() {
    switch (place_) {
      case Place::kMessage:
        return {kOfMessage, &message_seen_};
      case Place::kProgress:
        return {kOfProgress, &progress_seen_};
      case Place::kStep:
        return {kOfStep, &step_seen_};
      default:
        return {allowed_, &request_.seen};
    }
  }

  bool begin_progress() {
    place_ = Place::kProgress;
    request_.publish.progress.emplace();
    return true;
  }
  bool begin_step(bj::error_code& ec) {
    if (request_.publish.progress->steps.size() == kShards) {
      return fail(ec, "at most " + std::to_string(kShards) + " steps are accepted");
    }
    place_ = Place::kStep;
    step_seen_ = 0;
    request_.publish.progress->steps.emplace_back();
    return true;
  }
  ShardStep& step() { return request_.publish.progress->steps.back(); }

  bool require_all(unsigned seen, unsigned needed, std::string_view of, bj::error_code& ec) {
    const unsigned missing = needed & ~seen;
    if (missing == 0) return true;
    return fail(ec, names_of(missing) + " of " + std::string(of) + " is missing");
  }

  bool take_number(std::uint64_t value, bj::error_code& ec) {
    const bool is_shard = place_ == Place::kShards || member_ == kShard;
    if (is_shard && value >= kShards) {
      return fail(ec, "there is no shard " + std::to_string(value) + ": 0 to " +
                          std::to_string(kShards - 1) + " are accepted");
    }
    if (place_ == Place::kShards) {
      if (request_.give_back.size() == kShards) {
        return fail(ec, "at most " + std::to_string(kShards) + " shards are given back at a time");
      }
      request_.give_back.push_back(static_cast<std::uint32_t>(value));
      return true;
    }
    if (place_ != Place::kStep) return wrong_type(ec);
    switch (member_) {
      case kShard:
        step().shard = static_cast<std::uint32_t>(value);
        return true;
      case kFence:
        step().fence = value;
        return true;
      case kFrom:
        step().from = value;
        return true;
      case kTo:
        step().to = value;
        return true;
      default:
        return wrong_type(ec);
    }
  }

  bool begin_header(const std::string& key, bj::error_code& ec) {
    if (message_.headers.size() == kMaxHeaders) {
      return fail(ec, "a message has at most " + std::to_string(kMaxHeaders) + " headers");
    }
    for (const auto& [name, value] : message_.headers) {
      if (name == key) return fail(ec, "the header \"" + key.substr(0, 100) + "\" is there twice");
    }
    message_.headers.emplace_back(key, std::string());
    return true;
  }

  bool begin_message(bj::error_code& ec) {
    if (request_.publish.messages.size() == kMaxBatch) {
      return fail(ec, "at most " + std::to_string(kMaxBatch) + " messages are accepted at a time");
    }
    place_ = Place::kMessage;
    message_seen_ = 0;
    message_ = OutgoingMessage{};
    return true;
  }

  // Of the list, or the request itself when it is one message.
  bool end_message(bj::error_code& ec) {
    const unsigned seen = place_ == Place::kEnd ? request_.seen : message_seen_;
    const unsigned payload = seen & (kPayload | kPayloadBase64);
    if (payload == kPayload || payload == kPayloadBase64) {
      request_.publish.messages.push_back(std::move(message_));
      message_ = OutgoingMessage{};
      return true;
    }
    const std::string where = place_ == Place::kEnd
                                  ? std::string("a message")
                                  : "message " + std::to_string(request_.publish.messages.size());
    return fail(ec, where + " needs one of payload and payload_base64");
  }

  bool take(std::string text, bj::error_code& ec) {
    if (place_ == Place::kHeaders) {
      message_.headers.back().second = std::move(text);
      return true;
    }
    if (place_ == Place::kList) return take_entry(std::move(text), ec);
    if (place_ == Place::kProgress) return take_of_progress(std::move(text), ec);
    if (place_ != Place::kTop && place_ != Place::kMessage) return wrong_type(ec);
    switch (member_) {
      case kSource:
        request_.source = std::move(text);
        return true;
      case kReader:
        request_.reader = std::move(text);
        return true;
      case kTtl:
        request_.ttl = std::move(text);
        return true;
      case kTopic:
        request_.topic = std::move(text);
        return true;
      case kGroup:
        request_.group = std::move(text);
        return true;
      case kPayload:
        message_.payload = std::make_shared<const std::string>(std::move(text));
        return true;
      case kPayloadBase64:
        return take_base64(text, ec);
      case kId:
        message_.deduplication_id = std::move(text);
        return true;
      case kMessageId:
      case kReceipt:
        return take_entry(std::move(text), ec);
      case kDelay:
        request_.delay = std::move(text);
        return true;
      case kDeadLetter:
        request_.dead_letter = std::move(text);
        return true;
      case kVisibility:
        request_.visibility = std::move(text);
        return true;
      default:
        return wrong_type(ec);
    }
  }

  bool take_of_progress(std::string text, bj::error_code& ec) {
    ShardProgress& progress = *request_.publish.progress;
    if (member_ != kSource && member_ != kReader) return wrong_type(ec);
    (member_ == kSource ? progress.source : progress.member) = std::move(text);
    return true;
  }

  bool take_entry(std::string text, bj::error_code& ec) {
    if (request_.entries.size() == kMaxBatch) {
      return fail(ec, std::string(name_of(member_)) + " has more than " +
                          std::to_string(kMaxBatch) + " entries");
    }
    request_.entries.push_back(std::move(text));
    return true;
  }

  bool take_base64(const std::string& text, bj::error_code& ec) {
    std::optional<std::string> bytes = decode_base64(text);
    if (!bytes) {
      return fail(ec, "payload_base64 is not base64 (RFC 4648 section 4, padded with =)");
    }
    message_.payload = std::make_shared<const std::string>(std::move(*bytes));
    return true;
  }

  const unsigned allowed_;
  Request request_;
  Place place_ = Place::kStart;
  Place outside_ = Place::kTop;  // of the headers
  unsigned member_ = 0;
  unsigned message_seen_ = 0;
  unsigned progress_seen_ = 0;
  unsigned step_seen_ = 0;
  OutgoingMessage message_;
  std::string text_;
  std::string problem_;
};

Result<Request> read(std::string_view text, unsigned allowed) {
  bj::parse_options options;
  options.max_depth = kMaxDepth;
  bj::basic_parser<Reader> parser(options, allowed);
  bj::error_code error;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), error);
  if (!parser.handler().problem().empty()) return invalid(parser.handler().problem());
  if (error) {
    return invalid("the body is not JSON at byte " + std::to_string(used) + ": " + error.message());
  }
  if (used < text.size()) {
    return invalid("the body goes on after its JSON object at byte " + std::to_string(used));
  }
  return std::move(parser.handler().request());
}

Result<void> require(const Request& request, unsigned members) {
  const unsigned missing = members & ~request.seen;
  if (missing == 0) return {};
  return invalid(names_of(missing) + " is missing");
}

Result<std::chrono::milliseconds> read_delay(unsigned member, const std::string& text) {
  const auto duration = parse_duration(text);
  if (!duration) return duration.error().at(name_of(member));
  return std::chrono::ceil<std::chrono::milliseconds>(*duration);
}

bool is_one(unsigned members) { return members != 0 && (members & (members - 1)) == 0; }

}  // namespace

Result<PublishBody> read_publish(std::string_view text) {
  Result<Request> request = read(text, kTopic | kMessages | kOfMessage | kProgress);
  if (!request) return request.error();
  if (auto complete = require(*request, kTopic); !complete) return complete.error();
  if ((request->seen & kMessages) != 0 && (request->seen & kOfMessage) != 0) {
    return invalid("beside messages only topic and progress are accepted");
  }
  request->publish.topic = std::move(request->topic);
  return std::move(request->publish);
}

Result<ShardRequest> read_shards(std::string_view text) {
  Result<Request> request = read(text, kTopic | kSource | kReader | kTtl | kGiveBack | kLeave);
  if (!request) return request.error();
  if (auto complete = require(*request, kTopic | kSource | kReader); !complete) {
    return complete.error();
  }
  ShardRequest shards;
  shards.topic = std::move(request->topic);
  shards.source = std::move(request->source);
  shards.member = std::move(request->reader);
  shards.give_back = std::move(request->give_back);
  shards.leave = request->leave;
  if ((request->seen & kTtl) != 0) {
    const auto ttl = read_delay(kTtl, request->ttl);
    if (!ttl) return ttl.error();
    shards.ttl = *ttl;
  }
  return shards;
}

Result<SettleBody> read_settle(Settlement settlement, std::string_view text) {
  unsigned options = 0;
  if (settlement == Settlement::kNack) options = kDelay | kDeadLetter | kRelease;
  if (settlement == Settlement::kExtend) options = kVisibility;
  Result<Request> request = read(text, kTopic | kGroup | kEntries | options);
  if (!request) return request.error();
  unsigned needed = kTopic | kGroup;
  if (settlement == Settlement::kExtend) needed |= kVisibility;
  if (auto complete = require(*request, needed); !complete) return complete.error();
  if (!is_one(request->seen & kEntries)) {
    return invalid("one of " + names_of(kEntries) + " is needed");
  }
  SettleBody body;
  body.request.topic = std::move(request->topic);
  body.request.group = std::move(request->group);
  body.request.receipts_or_ids = std::move(request->entries);
  body.nack.release = request->release;
  if ((request->seen & kDeadLetter) != 0) {
    body.nack.dead_letter_reason = std::move(request->dead_letter);
  }
  if ((request->seen & kDelay) != 0) {
    const auto delay = read_delay(kDelay, request->delay);
    if (!delay) return delay.error();
    body.nack.delay = *delay;
  }
  if ((request->seen & kVisibility) != 0) {
    const auto visibility = read_delay(kVisibility, request->visibility);
    if (!visibility) return visibility.error();
    body.visibility = *visibility;
  }
  return body;
}

Result<LettersBody> read_letters(std::string_view text) {
  Result<Request> request = read(text, kTopic | kGroup | kMessageIds);
  if (!request) return request.error();
  if (auto complete = require(*request, kTopic | kGroup); !complete) return complete.error();
  if ((request->seen & kMessageIds) != 0 && request->entries.empty()) {
    return invalid("message_ids is empty: leave it out for all dead letters, or name some");
  }
  LettersBody body;
  body.topic = std::move(request->topic);
  body.group = std::move(request->group);
  body.message_ids = std::move(request->entries);
  return body;
}

}  // namespace gpu_telemetry::queue::json
