// One series in the head: what is in memory of one metric of one GPU.
//
// Samples lie in runs of ascending timestamps. Readings that come in order, as nearly all do, go to
// the first run. One that is not newer than the first run's last goes to the first of a few further
// runs that it fits behind, or else to the rest, which is put in order piece by piece. So of two
// samples with one timestamp, the one in the later run was written later, those of the rest last of
// all, and last-written-wins needs no search when writing.
//
// A run is a list of chunks that only grows at its end: whoever knows how many samples a run had
// may read them while others are added. So are the pieces of the rest, but for the last.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "storage/embedded/arena.h"
#include "storage/embedded/samples.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

struct HeadSample {
  std::int64_t timestamp = 0;
  double value = 0;
};

// The chunks of a run: each twice as large as the one before it, up to a bound. `several` is null
// while there is one. A longer list is a new one in the arena, so that whoever has an older one may
// go on reading it.
struct HeadChunks {
  HeadSample* only = nullptr;
  HeadSample** several = nullptr;

  static constexpr std::size_t kFirst = 4;  // samples
  static constexpr std::size_t kDoublings = 6;
  static constexpr std::size_t kLargest = kFirst << kDoublings;

  static constexpr std::size_t capacity(std::size_t chunk) {
    return kFirst << std::min(chunk, kDoublings);
  }
  // Samples of all chunks before this one.
  static constexpr std::size_t begin(std::size_t chunk) {
    if (chunk <= kDoublings) return (kFirst << chunk) - kFirst;
    return kLargest - kFirst + (chunk - kDoublings) * kLargest;
  }
  const HeadSample* at(std::size_t chunk) const {
    return several == nullptr ? only : several[chunk];
  }
  // The samples of a chunk of a run that has `size`.
  std::span<const HeadSample> samples(std::size_t chunk, std::size_t size) const {
    return {at(chunk), std::min(capacity(chunk), size - begin(chunk))};
  }
  // The first chunk, of `count` of a sorted run, that can hold a sample at `time` or after it.
  std::size_t first_with(std::int64_t time, std::size_t count) const {
    std::size_t found = 0;
    for (std::size_t later = count; later - found > 1;) {
      const std::size_t middle = found + (later - found) / 2;
      (at(middle)->timestamp <= time ? found : later) = middle;
    }
    return found;
  }
};

struct HeadRun {
  HeadChunks chunks;
  HeadSample* at = nullptr;   // where the next sample goes
  HeadSample* end = nullptr;  // of the last chunk
  std::int64_t earliest = kMaxTime;
  std::int64_t last = kMinTime;
  // The longest that a sample was stored after its own time, in ms: a sample at t was stored at
  // t + longest_delay or before, from which its expiry is told without keeping each time of
  // storing.
  std::int64_t longest_delay = 0;
  std::uint32_t size = 0;
  std::uint32_t chunk_count = 0;

  void append(Arena& arena, std::int64_t timestamp, double value, std::int64_t stored_at) {
    if (at == end) grow(arena);
    *at++ = {timestamp, value};
    ++size;
    if (timestamp > last) last = timestamp;
    if (timestamp < earliest) earliest = timestamp;
    if (stored_at - timestamp > longest_delay) longest_delay = stored_at - timestamp;
  }

  // How many samples lie in [low, high].
  std::size_t count(std::int64_t low, std::int64_t high) const;
  // Appends the timestamps of the last samples, at most `most`.
  void newest_times(std::size_t most, std::vector<std::int64_t>& out) const;

 private:
  void grow(Arena& arena);
  // The number of the first sample at `time` or after it.
  std::size_t first_at(std::int64_t time) const;
};

// Samples that fit behind no run, in the order in which they were written: pieces that are
// ascending each, and those since the last piece, which are not.
struct HeadRest {
  static constexpr std::uint32_t kPiece = 256;  // samples from which a piece is made
  using Piece = std::span<const HeadSample>;    // not empty, without a timestamp twice

  Piece* pieces = nullptr;
  HeadSample* unsorted = nullptr;  // overwritten when a piece was made of it
  std::uint32_t piece_count = 0;
  std::uint32_t unsorted_size = 0;
  std::uint32_t unsorted_capacity = 0;
  HeadSample newest{kMinTime, 0};  // of two with one timestamp the one written later
  std::int64_t earliest = kMaxTime;
  std::int64_t longest_delay = 0;  // as of a run
  std::uint64_t size = 0;          // samples written

  void append(Arena& arena, std::int64_t timestamp, double value, std::int64_t stored_at);
  // How many samples lie in [low, high] at most.
  std::uint64_t most_between(std::int64_t low, std::int64_t high) const;

 private:
  void grow(Arena& arena);
  void make_piece(Arena& arena);
};

struct HeadColumn {
  static constexpr int kLateRuns = 3;
  struct Late {
    HeadRun sorted[kLateRuns];
    HeadRest rest;
  };

  std::uint32_t metric = 0;  // number in the store's MetricTable
  HeadRun main;
  Late* late = nullptr;

  void insert(Arena& arena, std::int64_t timestamp, double value, std::int64_t stored_at) {
    if (timestamp > main.last) {
      main.append(arena, timestamp, value, stored_at);
    } else {
      insert_late(arena, timestamp, value, stored_at);
    }
  }

  // The sample with the latest timestamp, of two the one written later.
  HeadSample newest() const;
  // How many samples lie in [start, end], those of the rest at most.
  std::uint64_t count(std::int64_t start, std::int64_t end) const;

 private:
  void insert_late(Arena& arena, std::int64_t timestamp, double value, std::int64_t stored_at);
};

// A column as it was at one moment; valid as long as the head. Read by one thread.
class HeadColumnView {
 public:
  // A copy of a column's headers and of what lies in no order, made while nobody writes it.
  struct Copy {
    explicit Copy(const HeadColumn& column);

    HeadColumn column;
    std::optional<HeadColumn::Late> late;
    std::vector<HeadSample> unsorted;  // of late->rest
  };

  // Samples that were stored, and are, before `cutoff` (Unix ms) are not shown; `head_stored_at` is
  // when the head was last written.
  HeadColumnView(Copy copy, std::int64_t cutoff, std::int64_t head_stored_at);

  std::uint32_t metric() const { return metric_; }
  // Bounds of the timestamps that are shown; first > last when there are none.
  std::int64_t first() const { return first_; }
  std::int64_t last() const { return last_; }
  std::uint64_t samples() const { return samples_; }  // at most

  // Replaces `out` with the samples in [start, end].
  void read(std::int64_t start, std::int64_t end, Samples& out, Samples& scratch) const;

  // Appends what the samples in [start, end] come to in buckets of `step`, extending the last of
  // `out` when it goes on.
  void aggregate(std::int64_t start, std::int64_t end, std::int64_t step,
                 std::vector<Bucket>& out) const;

  // When the youngest of the samples in [start, end] was stored, at the latest.
  std::int64_t stored_at(std::int64_t start, std::int64_t end) const;

 private:
  struct Run {
    HeadChunks chunks;
    std::uint32_t size = 0;
    std::uint32_t chunk_count = 0;
    std::int64_t shown_from = 0;
    std::int64_t longest_delay = 0;
    std::int64_t last = 0;
  };

  void add_run(const HeadRun& run, std::int64_t cutoff);
  void add_rest(const HeadRest& rest, std::vector<HeadSample> unsorted, std::int64_t cutoff);
  // Replaces `out` with the samples of the rest in [start, end], in order.
  void find_rest(std::int64_t start, std::int64_t end, std::vector<HeadSample>& out) const;
  static void read_run(const Run& run, std::int64_t start, std::int64_t end, Samples& out);
  // Calls `visit` with each piece of the run that lies in [start, end], in order.
  template <class Visit>
  static void visit_run(const Run& run, std::int64_t start, std::int64_t end, const Visit& visit);

  std::uint32_t metric_ = 0;
  std::int64_t head_stored_at_ = 0;
  std::int64_t first_ = kMaxTime;
  std::int64_t last_ = kMinTime;
  std::uint64_t samples_ = 0;
  std::vector<Run> runs_;  // oldest writes first
  // Of the rest, which was written after all runs:
  std::span<const HeadRest::Piece> pieces_;
  std::vector<HeadSample> last_piece_;
  std::int64_t rest_shown_from_ = kMaxTime;
  std::int64_t rest_first_ = kMaxTime;  // at the earliest
  std::int64_t rest_last_ = kMinTime;
  std::int64_t rest_longest_delay_ = 0;
};

}  // namespace gpu_telemetry::storage::embedded
