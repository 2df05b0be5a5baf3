#include "sources/csv/csv_scrape_times.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "sources/csv/csv_scanner.h"

namespace gpu_telemetry::sources::csv {
namespace {

constexpr std::size_t kFirstStamps = 1024;

std::size_t spread(std::int64_t source) {
  return static_cast<std::uint64_t>(source) * 0x9E3779B97F4A7C15ULL >> 32;
}

}  // namespace

ScrapeTimes::ScrapeTimes(TimestampMode mode, const Clock& clock)
    : mode_(mode),
      clock_(clock),
      remembered_(kRemembered),
      last_(remembered_.data()),
      stamps_(kFirstStamps),
      furthest_(clock.now()),
      furthest_at_(clock.steady_now()) {}

void ScrapeTimes::begin_pass() {
  for (Remembered& entry : remembered_) entry.size = kNoText;
  std::ranges::fill(stamps_, Stamp{});
  stamp_count_ = 0;
}

const Timestamp* ScrapeTimes::find_remembered(std::string_view raw) {
  Remembered& entry = remembered_[hash_text(raw) & (kRemembered - 1)];
  if (!same_text(raw, {entry.text.data(), entry.size})) return nullptr;
  last_ = &entry;
  return &entry.time;
}

Result<Timestamp> ScrapeTimes::read(std::string_view raw) {
  std::string_view text;
  if (!strip_quotes(raw, text)) return invalid("a quoted field does not end with its quote");
  const Result<Timestamp> source = parse_rfc3339(text);
  if (!source) return source.error();
  if (*source < kEarliestTimestamp) {
    return invalid("the time '" + std::string(text) + "' is before " +
                   format_rfc3339(kEarliestTimestamp));
  }
  if (*source > clock_.now() + kLatestTimestampLead) {
    return invalid("the time '" + std::string(text) +
                   "' is more than 10 minutes ahead of the clock");
  }
  const Timestamp time = mode_ == TimestampMode::kNow ? stamp_of(*source) : *source;
  Remembered& entry = remembered_[hash_text(raw) & (kRemembered - 1)];
  if (raw.size() <= entry.text.size()) {
    entry.size = static_cast<std::uint32_t>(raw.size());
    std::memcpy(entry.text.data(), raw.data(), raw.size());
    entry.time = time;
    last_ = &entry;
  }
  return time;
}

Timestamp ScrapeTimes::stamp_of(Timestamp source) {
  Stamp* place = &place_of(unix_milliseconds(source));
  if (place->source != kFree) return place->time;
  if (2 * (stamp_count_ + 1) > stamps_.size()) {
    grow_stamps();
    place = &place_of(unix_milliseconds(source));
  }
  last_stamp_ = std::max(clock_.now(), last_stamp_ + Milliseconds{1});
  *place = {unix_milliseconds(source), last_stamp_};
  ++stamp_count_;
  return last_stamp_;
}

Milliseconds ScrapeTimes::ahead() { return ahead_by_more_than(kLongestLead); }

Milliseconds ScrapeTimes::until_passed() { return ahead_by_more_than(Milliseconds{-1}); }

Milliseconds ScrapeTimes::ahead_by_more_than(Milliseconds lead) {
  if (mode_ != TimestampMode::kNow) return Milliseconds{0};
  return std::max(Milliseconds{0}, last_stamp_ - latest_now() - lead);
}

// The wall clock, but never back: nobody waits an hour because a clock was set back by one.
Timestamp ScrapeTimes::latest_now() {
  const Timestamp now = clock_.now();
  const SteadyTime steady = clock_.steady_now();  // after it: `expected` then never overtakes it
  const Timestamp expected = furthest_ + std::chrono::floor<Milliseconds>(steady - furthest_at_);
  if (now < expected) return expected;
  furthest_ = now;
  furthest_at_ = steady;
  return now;
}

ScrapeTimes::Stamp& ScrapeTimes::place_of(std::int64_t source) {
  const std::size_t mask = stamps_.size() - 1;
  std::size_t at = spread(source) & mask;
  while (stamps_[at].source != kFree && stamps_[at].source != source) at = (at + 1) & mask;
  return stamps_[at];
}

void ScrapeTimes::grow_stamps() {
  if (stamp_count_ >= kMaxTimesOfPass) {
    std::ranges::fill(stamps_, Stamp{});
    stamp_count_ = 0;
    return;
  }
  std::vector<Stamp> old(2 * stamps_.size());
  old.swap(stamps_);
  for (const Stamp& stamp : old) {
    if (stamp.source != kFree) place_of(stamp.source) = stamp;
  }
}

}  // namespace gpu_telemetry::sources::csv
