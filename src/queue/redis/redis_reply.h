// RESP, the protocol of Redis: commands as bytes, replies as values. The parser is hiredis's
// reader.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"

namespace gpu_telemetry::queue {

struct RedisReply {
  enum class Type { kNil, kInteger, kString, kError, kArray };
  Type type = Type::kNil;
  std::int64_t integer = 0;
  std::string text;  // of a string, a status or an error
  std::vector<RedisReply> elements;

  bool is_error() const { return type == Type::kError; }
};

// A command of a number of arguments that is known from the start, appended one by one.
class RedisCommand {
 public:
  // `bytes` is what the arguments take together, roughly; a good guess saves copies.
  explicit RedisCommand(std::size_t arguments, std::size_t bytes = 0);
  RedisCommand& add(std::string_view argument);
  RedisCommand& add(std::int64_t argument);
  RedisCommand& add(std::uint64_t argument) { return add(static_cast<std::int64_t>(argument)); }
  std::string take() { return std::move(bytes_); }

 private:
  void add_head(char kind, std::size_t number);
  std::string bytes_;
};

// Not thread-safe.
class RedisReplyReader {
 public:
  RedisReplyReader();
  ~RedisReplyReader();
  RedisReplyReader(const RedisReplyReader&) = delete;
  RedisReplyReader& operator=(const RedisReplyReader&) = delete;

  void feed(std::string_view bytes);
  // The next whole reply; nothing when more bytes are needed.
  // Errors: kCorrupt, and then for good: what was fed is not RESP, or nests more than 7 deep, or
  // has an array of more than kMaxElements.
  Result<std::optional<RedisReply>> next();

  static constexpr int kMaxElements = 1'000'000;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gpu_telemetry::queue
