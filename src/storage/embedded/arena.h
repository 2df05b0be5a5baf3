// Memory that is given out piece by piece and taken back all at once.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace gpu_telemetry::storage::embedded {

// Not thread-safe.
class Arena {
 public:
  // Bytes aligned to 8, uninitialised, valid until the arena is destroyed.
  std::byte* allocate(std::size_t size) {
    size = (size + 7) & ~std::size_t{7};
    used_ += size;
    if (size > static_cast<std::size_t>(end_ - at_)) return allocate_in_new_block(size);
    std::byte* const place = at_;
    at_ += size;
    return place;
  }

  // What was asked for so far; blocks that are not used up yet are not counted.
  std::size_t used() const { return used_; }

 private:
  static constexpr std::size_t kBlockSize = std::size_t{64} << 10;

  std::byte* allocate_in_new_block(std::size_t size) {
    const std::size_t block = size > kBlockSize ? size : kBlockSize;
    blocks_.push_back(std::make_unique_for_overwrite<std::byte[]>(block));
    at_ = blocks_.back().get() + size;
    end_ = blocks_.back().get() + block;
    return blocks_.back().get();
  }

  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::byte* at_ = nullptr;
  std::byte* end_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace gpu_telemetry::storage::embedded
