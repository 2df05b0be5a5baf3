// Turns the timestamps of rows into the times of scrapes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "domain/clock.h"
#include "domain/result.h"
#include "domain/time.h"
#include "sources/csv/csv_text.h"

namespace gpu_telemetry::sources::csv {

enum class TimestampMode {
  kNow,     // the time at which the first row with a timestamp was read in this pass
  kSource,  // the timestamp itself
};

// In kNow the times increase strictly over all passes, and so run ahead of the clock when
// timestamps come faster than one a millisecond; ahead() says when to wait for it. Of a pass with
// more than kMaxTimesOfPass distinct timestamps the first ones are forgotten, and would get another
// time if they came again.
class ScrapeTimes {
 public:
  static constexpr std::size_t kMaxTimesOfPass = 65'536;
  static constexpr Milliseconds kLongestLead{1'000};

  ScrapeTimes(TimestampMode mode, const Clock& clock);

  void begin_pass();

  // The scrape time of a row whose timestamp is written `raw`, or null when that text is not
  // remembered: then ask read(). Valid until the next call.
  [[gnu::always_inline]] const Timestamp* find(std::string_view raw) {
    if (same_text(raw, {last_->text.data(), last_->size})) return &last_->time;
    return find_remembered(raw);
  }

  // Errors: kInvalid: malformed, without a zone, before kEarliestTimestamp or further ahead of the
  // clock than kLatestTimestampLead.
  Result<Timestamp> read(std::string_view raw);

  // By how much the last stamp is further ahead of the clock than kLongestLead; zero when it is
  // not.
  Milliseconds ahead();
  // How long until the clock is past the last stamp; zero when it is.
  Milliseconds until_passed();

 private:
  static constexpr std::size_t kRemembered = 256;  // a power of two
  static constexpr std::uint32_t kNoText = UINT32_MAX;
  struct Remembered {
    std::uint32_t size = kNoText;
    std::array<char, 36> text{};
    Timestamp time;
  };
  // The stamps of one pass by source time: open addressing, because a node each would be an
  // allocation each.
  struct Stamp {
    std::int64_t source = kFree;
    Timestamp time;
  };
  static constexpr std::int64_t kFree = INT64_MIN;

  // By how much the last stamp is further ahead of the clock than `lead`, or zero.
  Milliseconds ahead_by_more_than(Milliseconds lead);
  const Timestamp* find_remembered(std::string_view raw);
  Timestamp stamp_of(Timestamp source);
  Stamp& place_of(std::int64_t source);
  void grow_stamps();
  Timestamp latest_now();

  const TimestampMode mode_;
  const Clock& clock_;
  std::vector<Remembered> remembered_;
  Remembered* last_;
  std::vector<Stamp> stamps_;
  std::size_t stamp_count_ = 0;
  Timestamp last_stamp_{};
  // The furthest that the wall clock has been, and when.
  Timestamp furthest_;
  SteadyTime furthest_at_;
};

}  // namespace gpu_telemetry::sources::csv
