#include "queue/redis/redis_reply.h"

#include <hiredis/read.h>

#include <array>
#include <charconv>
#include <new>

namespace gpu_telemetry::queue {
namespace {

// Where the value of a task goes: a place in its parent's array, or a reply of its own.
RedisReply* place_for(const redisReadTask* task) {
  if (task->parent == nullptr) return new (std::nothrow) RedisReply;
  auto* parent = static_cast<RedisReply*>(task->parent->obj);
  return &parent->elements[static_cast<std::size_t>(task->idx)];
}

// No exception may pass through the reader, which is C: null says that memory is short.
template <class Fill>
void* make(const redisReadTask* task, Fill fill) {
  RedisReply* reply = place_for(task);
  if (reply == nullptr) return nullptr;
  try {
    fill(*reply);
  } catch (const std::bad_alloc&) {
    if (task->parent == nullptr) delete reply;
    return nullptr;
  }
  return reply;
}

void* create_string(const redisReadTask* task, char* text, std::size_t size) {
  return make(task, [&](RedisReply& reply) {
    reply.type =
        task->type == REDIS_REPLY_ERROR ? RedisReply::Type::kError : RedisReply::Type::kString;
    reply.text.assign(text, size);
  });
}

void* create_array(const redisReadTask* task, int elements) {
  if (elements > RedisReplyReader::kMaxElements) return nullptr;
  return make(task, [&](RedisReply& reply) {
    reply.type = RedisReply::Type::kArray;
    reply.elements.resize(static_cast<std::size_t>(elements));
  });
}

void* create_integer(const redisReadTask* task, long long value) {
  return make(task, [&](RedisReply& reply) {
    reply.type = RedisReply::Type::kInteger;
    reply.integer = value;
  });
}

void* create_nil(const redisReadTask* task) {
  return make(task, [](RedisReply& reply) { reply.type = RedisReply::Type::kNil; });
}

void free_reply(void* reply) { delete static_cast<RedisReply*>(reply); }

redisReplyObjectFunctions kFunctions = {&create_string, &create_array, &create_integer, &create_nil,
                                        &free_reply};

}  // namespace

RedisCommand::RedisCommand(std::size_t arguments, std::size_t bytes) {
  bytes_.reserve(16 + bytes + 14 * arguments);
  add_head('*', arguments);
}

void RedisCommand::add_head(char kind, std::size_t number) {
  std::array<char, 24> head;
  head[0] = kind;
  char* end = std::to_chars(head.data() + 1, head.data() + head.size() - 2, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  bytes_.append(head.data(), end);
}

RedisCommand& RedisCommand::add(std::string_view argument) {
  add_head('$', argument.size());
  bytes_.append(argument);
  bytes_.append("\r\n");
  return *this;
}

RedisCommand& RedisCommand::add(std::int64_t argument) {
  std::array<char, 24> digits;
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), argument).ptr;
  return add(std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
}

struct RedisReplyReader::State {
  struct Free {
    void operator()(redisReader* owned) const { redisReaderFree(owned); }
  };
  std::unique_ptr<redisReader, Free> reader{redisReaderCreateWithFunctions(&kFunctions)};
};

RedisReplyReader::RedisReplyReader() : state_(std::make_unique<State>()) {
  if (!state_->reader) throw std::bad_alloc();
  // Keep the buffer between replies, however large.
  state_->reader->maxbuf = 0;
}
RedisReplyReader::~RedisReplyReader() = default;

void RedisReplyReader::feed(std::string_view bytes) {
  redisReaderFeed(state_->reader.get(), bytes.data(), bytes.size());
}

Result<std::optional<RedisReply>> RedisReplyReader::next() {
  void* parsed = nullptr;
  if (redisReaderGetReply(state_->reader.get(), &parsed) != REDIS_OK) {
    return corrupt(std::string("not a reply of Redis: ") +
                   static_cast<const char*>(state_->reader->errstr));
  }
  std::optional<RedisReply> result;
  if (parsed != nullptr) {
    const std::unique_ptr<RedisReply> owned(static_cast<RedisReply*>(parsed));
    result.emplace(std::move(*owned));
  }
  return result;
}

}  // namespace gpu_telemetry::queue
