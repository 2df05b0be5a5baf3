// Room for text that is written in small pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>

namespace gpu_telemetry::services {

// Collects pieces and appends them to a string a few thousand characters at a time: the checks and
// counts of appending each piece cost several times what its characters cost. The string has
// everything after finish().
class TextRoom {
 public:
  // No piece is longer than `longest`.
  TextRoom(std::string& out, std::size_t longest)
      : out_(out),
        room_(std::make_unique_for_overwrite<char[]>(std::max(kSize, longest))),
        at_(room_.get()),
        full_(at_ + std::max(kSize, longest) - longest) {}
  TextRoom(const TextRoom&) = delete;
  TextRoom& operator=(const TextRoom&) = delete;

  // Where the next piece goes.
  char* next() {
    if (at_ > full_) flush();
    return at_;
  }
  // Where it ended.
  void end(char* at) { at_ = at; }
  void finish() { flush(); }

 private:
  static constexpr std::size_t kSize = 8192;

  void flush() {
    out_.append(room_.get(), static_cast<std::size_t>(at_ - room_.get()));
    at_ = room_.get();
  }

  std::string& out_;
  const std::unique_ptr<char[]> room_;
  char* at_;
  char* const full_;  // behind it there may be too little room for a piece
};

}  // namespace gpu_telemetry::services
