#include "storage/embedded/timestamp_codec.h"

#include <algorithm>
#include <numeric>

namespace gpu_telemetry::storage::embedded {

TimestampDescription TimestampEncoder::encode(std::span<const std::int64_t> timestamps,
                                              std::string& out) {
  TimestampDescription description;
  description.count = timestamps.size();
  description.first = timestamps.front();
  description.last = timestamps.back();
  if (timestamps.size() == 1) return description;

  std::int64_t unit = 0;
  bool regular = true;
  const std::int64_t interval = timestamps[1] - timestamps[0];
  for (std::size_t i = 1; i < timestamps.size(); ++i) {
    const std::int64_t distance = timestamps[i] - timestamps[i - 1];
    regular = regular && distance == interval;
    if (unit != 1 && (unit == 0 || distance % unit != 0)) unit = std::gcd(unit, distance);
  }
  description.unit = unit;
  if (regular) return description;

  steps_.resize(timestamps.size());
  for (std::size_t i = 0; i < timestamps.size(); ++i) {
    steps_[i] = (timestamps[i] - timestamps.front()) / unit;
  }
  groups_.clear();
  for (std::size_t begin = 0; begin < steps_.size(); begin += kGroupSize) {
    groups_.add(std::span(steps_).subspan(begin, std::min(kGroupSize, steps_.size() - begin)));
  }
  const std::size_t start = out.size();
  groups_.append_to(out);
  description.data_size = out.size() - start;
  return description;
}

std::string_view TimestampDecoder::parse(const TimestampDescription& description,
                                         std::string_view bytes) {
  description_ = description;
  constexpr std::int64_t kNarrow = std::int64_t{1} << 32;
  narrow_ = description.unit < kNarrow &&
            (description.last - description.first) / description.unit < kNarrow;
  groups_.clear();
  if (description.regular()) return {};
  return parse_groups(bytes, description.count, false, groups_);
}

namespace {

std::int64_t at_step(const TimestampDescription& description, std::uint64_t step) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(description.first) +
                                   static_cast<std::uint64_t>(description.unit) * step);
}

}  // namespace

TimestampDecoder::Indexes TimestampDecoder::covering(std::int64_t start, std::int64_t end) const {
  if (start > end || start > description_.last || end < description_.first) return {};
  const std::uint64_t group_count = (description_.count + kGroupSize - 1) / kGroupSize;
  const auto first_of = [&](std::uint64_t group) {
    return description_.regular() ? at_step(description_, group * kGroupSize)
                                  : at_step(description_, first_value(groups_[group]));
  };
  // How many groups begin at or before `time`.
  const auto groups_until = [&](std::int64_t time) {
    std::uint64_t low = 0;
    std::uint64_t high = group_count;
    while (low < high) {
      const std::uint64_t middle = (low + high) / 2;
      if (first_of(middle) <= time) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  const std::uint64_t before = groups_until(start);
  const std::uint64_t until = groups_until(end);
  const std::uint64_t begin = before == 0 ? 0 : before - 1;
  if (until <= begin) return {};
  return {begin * kGroupSize, std::min(until * kGroupSize, description_.count)};
}

void TimestampDecoder::decode(Indexes indexes, std::int64_t* out) const {
  if (description_.regular()) {
    for (std::uint64_t i = indexes.begin; i < indexes.end; ++i) *out++ = at_step(description_, i);
    return;
  }
  for (std::uint64_t i = indexes.begin; i < indexes.end; i += kGroupSize) {
    const Group& group = groups_[i / kGroupSize];
    std::uint64_t steps[kGroupSize];
    decode_group(group, steps);
    if (narrow_) {
      // 32 by 32 bits is a product that every x86-64 has for vectors.
      const auto unit = static_cast<std::uint32_t>(description_.unit);
      const auto first = static_cast<std::uint64_t>(description_.first);
      for (std::size_t k = 0; k < group.count; ++k) {
        out[k] = static_cast<std::int64_t>(
            first + std::uint64_t{static_cast<std::uint32_t>(steps[k])} * unit);
      }
    } else {
      for (std::size_t k = 0; k < group.count; ++k) out[k] = at_step(description_, steps[k]);
    }
    out += group.count;
  }
}

}  // namespace gpu_telemetry::storage::embedded
