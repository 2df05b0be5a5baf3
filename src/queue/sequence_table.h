// Records in the order of their sequence numbers, in one piece of memory.
//
// Numbers are appended in ascending order and removed in any. As long as few are missing a look-up
// is one subtraction; otherwise it is a binary search. Removing leaves a hole; holes at the front
// go at once and others when they are more than half, so that memory stays within twice of what is
// held however long one record stays behind.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace gpu_telemetry::queue {

// T is movable and has `std::uint64_t sequence` and `bool removed`. Pointers are valid until the
// next push_back or erase. Not thread-safe.
template <class T>
class SequenceTable {
 public:
  std::size_t size() const { return live_; }
  bool empty() const { return live_ == 0; }

  // `item.sequence` is greater than that of all before it.
  T& push_back(T item) {
    ++live_;
    return items_.emplace_back(std::move(item));
  }

  T* find(std::uint64_t sequence) {
    T* item = at_or_after(sequence);
    return item != end() && item->sequence == sequence && !item->removed ? item : nullptr;
  }
  const T* find(std::uint64_t sequence) const {
    return const_cast<SequenceTable*>(this)->find(sequence);
  }

  // The first with this sequence or a greater one, removed or not; end() when there is none.
  T* at_or_after(std::uint64_t sequence) {
    T* first = begin();
    T* last = end();
    if (first == last || sequence <= first->sequence) return first;
    // Sequences differ by at least one, so the wanted one is at most this far from the first.
    const std::uint64_t distance = sequence - first->sequence;
    const auto size = static_cast<std::uint64_t>(last - first);
    if (distance < size && first[distance].sequence == sequence) return first + distance;
    return std::lower_bound(
        first, distance < size ? first + distance : last, sequence,
        [](const T& item, std::uint64_t wanted) { return item.sequence < wanted; });
  }

  // Includes removed ones.
  T* begin() { return items_.data() + head_; }
  T* end() { return items_.data() + items_.size(); }
  const T* begin() const { return items_.data() + head_; }
  const T* end() const { return items_.data() + items_.size(); }

  void erase(T& item) {
    const std::uint64_t sequence = item.sequence;
    item = T{};
    item.sequence = sequence;
    item.removed = true;
    --live_;
    while (head_ < items_.size() && items_[head_].removed) ++head_;
    if (head_ == items_.size()) {
      items_.clear();
      head_ = 0;
    } else if (items_.size() > 64 && live_ < items_.size() / 2) {
      std::erase_if(items_, [](const T& each) { return each.removed; });
      head_ = 0;
    }
  }

  void clear() {
    items_.clear();
    head_ = 0;
    live_ = 0;
  }

 private:
  std::vector<T> items_;
  std::size_t head_ = 0;  // all before it are removed
  std::size_t live_ = 0;
};

}  // namespace gpu_telemetry::queue
