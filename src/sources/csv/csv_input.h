// Where CSV text comes from: a file, a pipe, standard input; compressed with gzip or not.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "domain/result.h"

namespace gpu_telemetry::sources::csv {

struct InputRead {
  enum class State { kData, kWaiting, kEnd };
  State state = State::kEnd;
  std::size_t size = 0;  // bytes written, more than 0 for kData
};

// Used by one thread at a time.
class ByteInput {
 public:
  virtual ~ByteInput() = default;
  // Reads something into `into`. Waits at most `patience` for a pipe that has nothing (kWaiting).
  // Errors: kUnavailable with the name and the system's reason; kCorrupt for damaged gzip data,
  // after everything before the damage was handed out.
  virtual Result<InputRead> read(std::span<char> into, std::chrono::milliseconds patience) = 0;

  // Passes over at most `size` bytes and returns how many; none only at the end. A plain file takes
  // them all at once and does not look whether they are there; others read, a piece in each call.
  // Not for something that may have to wait. Errors: as read.
  virtual Result<std::uint64_t> skip(std::uint64_t size);

  // What the text has at most as far as the size of its file tells, with room for it to grow;
  // UINT64_MAX when nothing tells.
  virtual std::uint64_t text_limit() const { return UINT64_MAX; }
};

using OpenInput = std::function<Result<std::unique_ptr<ByteInput>>()>;

// Opens `path`, or standard input for "-". gzip data, of any number of members, is recognised by
// its first bytes and decompressed as it is read. Opening a named pipe waits for its writer.
// Errors: kNotFound, kInvalid (a folder), kUnavailable, each with the path and the system's reason.
Result<std::unique_ptr<ByteInput>> open_input(const std::string& path);

// Whether `path` names something that may have nothing to read for a while, and cannot be read
// twice: standard input or a pipe.
bool is_stream(const std::string& path);

// Text in memory, which must outlive the input, handed out at most `piece` bytes at a time.
std::unique_ptr<ByteInput> memory_input(std::string_view text, std::size_t piece = SIZE_MAX);

}  // namespace gpu_telemetry::sources::csv
