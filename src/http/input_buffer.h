// Bytes that were read and not yet understood, in one piece of memory that is used again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace gpu_telemetry::http {

class InputBuffer {
 public:
  std::string_view view() const { return {memory_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  std::size_t size() const { return end_ - begin_; }

  void consume(std::size_t size) {
    begin_ += size;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  // Where to read into: at least half a step. Moves or grows what is held only when there is no
  // room.
  char* prepare() {
    if (capacity_ - end_ < kStep / 2 && begin_ > 0) {
      std::memmove(memory_.get(), memory_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
    if (capacity_ - end_ < kStep / 2) grow();
    return memory_.get() + end_;
  }
  std::size_t room() const { return capacity_ - end_; }
  void commit(std::size_t size) { end_ += size; }

  // Gives back memory that one large head or body needed. Only while empty.
  void shrink() {
    if (capacity_ <= kStep) return;
    memory_.reset();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  static constexpr std::size_t kStep = 4096;

  void grow() {
    const std::size_t wanted = std::max(kStep, capacity_ * 2);
    auto larger = std::make_unique_for_overwrite<char[]>(wanted);
    if (!empty()) std::memcpy(larger.get(), memory_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
    capacity_ = wanted;
    memory_ = std::move(larger);
  }

  std::unique_ptr<char[]> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace gpu_telemetry::http
