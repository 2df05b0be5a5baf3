#include "storage/embedded/head_column.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <new>
#include <numeric>
#include <span>

namespace gpu_telemetry::storage::embedded {

void HeadRun::grow(Arena& arena) {
  const std::size_t capacity = HeadChunks::capacity(chunk_count);
  auto* const chunk = new (arena.allocate(capacity * sizeof(HeadSample))) HeadSample[capacity];
  if (chunk_count == 0) {
    chunks.only = chunk;
  } else if (std::has_single_bit(chunk_count)) {  // the list is full
    auto** const longer = new (arena.allocate(std::size_t{2} * chunk_count * sizeof(HeadSample*)))
        HeadSample*[2 * chunk_count];
    std::copy_n(chunks.several == nullptr ? &chunks.only : chunks.several, chunk_count, longer);
    chunks.several = longer;
  }
  if (chunks.several != nullptr) chunks.several[chunk_count] = chunk;
  ++chunk_count;
  at = chunk;
  end = at + capacity;
}

HeadSample HeadRun::newest(bool sorted) const {
  if (sorted) return at[-1];
  HeadSample found{kMinTime, 0};
  for (std::size_t i = 0; i < chunk_count; ++i) {
    for (const HeadSample& sample : chunks.samples(i, size)) {
      if (sample.timestamp >= found.timestamp) found = sample;
    }
  }
  return found;
}

std::size_t HeadRun::first_at(std::int64_t time) const {
  const std::size_t index = chunks.first_with(time, chunk_count);
  const auto samples = chunks.samples(index, size);
  const auto found = std::lower_bound(
      samples.begin(), samples.end(), time,
      [](const HeadSample& sample, std::int64_t at_time) { return sample.timestamp < at_time; });
  return HeadChunks::begin(index) + static_cast<std::size_t>(found - samples.begin());
}

std::size_t HeadRun::count(std::int64_t low, std::int64_t high) const {
  if (size == 0 || low > high || high < earliest || low > last) return 0;
  if (low <= earliest && high >= last) return size;
  return (high >= last ? size : first_at(high + 1)) - first_at(low);
}

void HeadRun::newest_times(std::size_t most, std::vector<std::int64_t>& out) const {
  std::size_t skip = size > most ? size - most : 0;
  for (std::size_t i = 0; i < chunk_count; ++i) {
    const auto samples = chunks.samples(i, size);
    for (const HeadSample& sample : samples.subspan(std::min(skip, samples.size()))) {
      out.push_back(sample.timestamp);
    }
    skip -= std::min(skip, samples.size());
  }
}

HeadSample HeadColumn::newest() const {
  HeadSample found{kMinTime, 0};
  const auto take = [&](const HeadRun& run, bool sorted) {
    if (run.size == 0 || run.last < found.timestamp) return;
    found = run.newest(sorted);
  };
  take(main, true);
  if (late == nullptr) return found;
  for (const HeadRun& run : late->sorted) take(run, true);
  take(late->rest, false);
  return found;
}

std::size_t HeadColumn::count_sorted(std::int64_t start, std::int64_t end) const {
  std::size_t samples = main.count(start, end);
  if (late == nullptr) return samples;
  for (const HeadRun& run : late->sorted) samples += run.count(start, end);
  return samples;
}

void HeadColumn::insert_late(Arena& arena, std::int64_t timestamp, double value,
                             std::int64_t stored_at) {
  if (late == nullptr) {
    // The commonest reason to be here is a repeated delivery of the newest scrape.
    const double newest = main.at[-1].value;
    if (timestamp == main.last && std::memcmp(&newest, &value, sizeof value) == 0) return;
    late = new (arena.allocate(sizeof(Late))) Late;
  }
  for (HeadRun& run : late->sorted) {
    if (timestamp > run.last) {
      run.append(arena, timestamp, value, stored_at);
      return;
    }
  }
  late->rest.append(arena, timestamp, value, stored_at);
}

HeadColumnView::HeadColumnView(const HeadColumn& column, const HeadColumn::Late* late,
                               std::int64_t cutoff, std::int64_t head_stored_at)
    : metric_(column.metric), head_stored_at_(head_stored_at) {
  add_run(column.main, cutoff);
  if (late == nullptr) return;
  for (const HeadRun& run : late->sorted) add_run(run, cutoff);
  add_rest(late->rest, cutoff);
}

void HeadColumnView::add_run(const HeadRun& run, std::int64_t cutoff) {
  if (run.size == 0) return;
  const std::int64_t shown_from =
      head_stored_at_ >= cutoff ? saturating_subtract(cutoff, run.longest_delay) : cutoff;
  if (run.last < shown_from) return;
  runs_.push_back({.chunks = run.chunks,
                   .size = run.size,
                   .chunk_count = run.chunk_count,
                   .shown_from = shown_from,
                   .longest_delay = run.longest_delay,
                   .last = run.last});
  first_ = std::min(first_, std::max(run.earliest, shown_from));
  last_ = std::max(last_, run.last);
  samples_ += run.size;
}

void HeadColumnView::add_rest(const HeadRun& run, std::int64_t cutoff) {
  if (run.size == 0) return;
  std::vector<HeadSample> samples;
  samples.reserve(run.size);
  for (std::size_t i = 0; i < run.chunk_count; ++i) {
    const auto chunk = run.chunks.samples(i, run.size);
    samples.insert(samples.end(), chunk.begin(), chunk.end());
  }
  std::stable_sort(samples.begin(), samples.end(), [](const HeadSample& a, const HeadSample& b) {
    return a.timestamp < b.timestamp;
  });
  const std::int64_t shown_from =
      head_stored_at_ >= cutoff ? saturating_subtract(cutoff, run.longest_delay) : cutoff;
  for (const HeadSample& sample : samples) {
    if (sample.timestamp < shown_from) continue;
    if (!rest_.empty() && rest_.timestamps.back() == sample.timestamp) {
      rest_.values.back() = sample.value;
    } else {
      rest_.append(sample.timestamp, sample.value);
    }
  }
  if (rest_.empty()) return;
  rest_longest_delay_ = run.longest_delay;
  first_ = std::min(first_, rest_.timestamps.front());
  last_ = std::max(last_, rest_.timestamps.back());
  samples_ += rest_.size();
}

template <class Visit>
void HeadColumnView::visit_run(const Run& run, std::int64_t start, std::int64_t end,
                               const Visit& visit) {
  start = std::max(start, run.shown_from);
  if (start > end) return;
  const auto is_earlier = [](const HeadSample& sample, std::int64_t time) {
    return sample.timestamp < time;
  };
  for (std::size_t index = run.chunks.first_with(start, run.chunk_count); index < run.chunk_count;
       ++index) {
    const auto samples = run.chunks.samples(index, run.size);
    auto first = samples.begin();
    auto last = samples.end();
    if (first->timestamp < start) first = std::lower_bound(first, last, start, is_earlier);
    if (first == last) continue;
    const bool is_last = std::prev(last)->timestamp > end;
    if (is_last) last = std::lower_bound(first, last, end + 1, is_earlier);
    visit(std::span<const HeadSample>(first, last));
    if (is_last) return;
  }
}

void HeadColumnView::read_run(const Run& run, std::int64_t start, std::int64_t end, Samples& out) {
  // The processor fetches all of it at once, in place of one piece of memory after the other.
  constexpr std::size_t kLine = 64;
  std::size_t size = out.size();
  visit_run(run, start, end, [&size](std::span<const HeadSample> samples) {
    size += samples.size();
    const auto bytes = std::as_bytes(samples);
    for (std::size_t at = 0; at < bytes.size(); at += kLine) __builtin_prefetch(&bytes[at]);
  });
  out.timestamps.reserve(size);
  out.values.reserve(size);
  visit_run(run, start, end, [&out](std::span<const HeadSample> samples) {
    const std::size_t before = out.size();
    out.timestamps.resize(before + samples.size());
    out.values.resize(before + samples.size());
    std::int64_t* const timestamps = out.timestamps.data() + before;
    double* const values = out.values.data() + before;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      timestamps[i] = samples[i].timestamp;
      values[i] = samples[i].value;
    }
  });
}

namespace {

// Takes samples in the order of time into buckets.
class BucketFiller {
 public:
  BucketFiller(std::int64_t step, std::vector<Bucket>& out) : step_(step), out_(out) {
    if (!out.empty()) bucket_end_ = unix_milliseconds(out.back().start) + step;
  }

  // All of `samples`; those of one bucket without a look at the list.
  void add(std::span<const HeadSample> samples) {
    for (std::size_t i = 0; i < samples.size();) {
      Bucket bucket = bucket_of(samples[i]);
      for (; i < samples.size() && samples[i].timestamp < bucket_end_; ++i) {
        take(bucket, samples[i].value);
      }
      out_.back() = bucket;
    }
  }

 private:
  static void take(Bucket& bucket, double value) {
    ++bucket.count;
    bucket.sum += value;
    bucket.min = std::min(bucket.min, value);
    bucket.max = std::max(bucket.max, value);
    bucket.last = value;
  }

  Bucket bucket_of(const HeadSample& sample) {
    if (out_.empty() || sample.timestamp >= bucket_end_) {
      const std::int64_t rest = sample.timestamp % step_;
      const std::int64_t start = sample.timestamp - (rest < 0 ? rest + step_ : rest);
      bucket_end_ = start + step_;
      out_.push_back(
          {from_unix_milliseconds(start), 0, 0, sample.value, sample.value, sample.value});
    }
    return out_.back();
  }

  const std::int64_t step_;
  std::vector<Bucket>& out_;
  std::int64_t bucket_end_ = kMinTime;
};

// What is left of a run, piece by piece.
struct RunCursor {
  std::vector<std::span<const HeadSample>> pieces;
  std::size_t piece = 0;
  const HeadSample* at = nullptr;
  const HeadSample* end = nullptr;

  void begin() {
    piece = 0;
    enter();
  }
  bool ended() const { return at == end; }
  void next() {
    if (++at == end) {
      ++piece;
      enter();
    }
  }

 private:
  void enter() {
    at = end = nullptr;
    if (piece == pieces.size()) return;
    at = pieces[piece].data();
    end = at + pieces[piece].size();
  }
};

}  // namespace

bool HeadColumnView::aggregate(std::int64_t start, std::int64_t end, std::int64_t step,
                               std::vector<Bucket>& out) const {
  if (!rest_.empty()) return false;
  BucketFiller filler(step, out);
  if (runs_.size() == 1) {
    visit_run(runs_.front(), start, end,
              [&filler](std::span<const HeadSample> samples) { filler.add(samples); });
    return true;
  }
  // Reused by the thread.
  thread_local std::vector<RunCursor> cursors;
  thread_local std::vector<HeadSample> merged;
  cursors.resize(runs_.size());
  merged.clear();
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    cursors[i].pieces.clear();
    visit_run(runs_[i], start, end,
              [i](std::span<const HeadSample> samples) { cursors[i].pieces.push_back(samples); });
    cursors[i].begin();
  }
  while (true) {
    // Of one timestamp in several runs the latest run has the value that counts.
    std::int64_t earliest = kMaxTime;
    const HeadSample* sample = nullptr;
    for (const RunCursor& cursor : cursors) {
      if (cursor.ended() || cursor.at->timestamp > earliest) continue;
      earliest = cursor.at->timestamp;
      sample = cursor.at;
    }
    if (sample == nullptr) break;
    merged.push_back(*sample);
    for (RunCursor& cursor : cursors) {
      if (!cursor.ended() && cursor.at->timestamp == earliest) cursor.next();
    }
  }
  filler.add(merged);
  return true;
}

void HeadColumnView::read(std::int64_t start, std::int64_t end, Samples& out,
                          Samples& scratch) const {
  out.clear();
  if (start > end || first_ > end || last_ < start) return;
  constexpr std::uint64_t kManyInABlock = 1024;
  const std::uint64_t most = std::min(samples_, kManyInABlock);
  out.timestamps.reserve(most);
  out.values.reserve(most);
  if (!runs_.empty()) read_run(runs_.front(), start, end, out);
  if (runs_.size() <= 1 && rest_.empty()) return;
  Samples newer;
  for (std::size_t i = 1; i < runs_.size(); ++i) {
    newer.clear();
    read_run(runs_[i], start, end, newer);
    overlay(out, newer, scratch);
  }
  newer.clear();
  const auto from = std::lower_bound(rest_.timestamps.begin(), rest_.timestamps.end(), start);
  for (auto i = static_cast<std::size_t>(from - rest_.timestamps.begin());
       i < rest_.size() && rest_.timestamps[i] <= end; ++i) {
    newer.append(rest_.timestamps[i], rest_.values[i]);
  }
  overlay(out, newer, scratch);
}

std::int64_t HeadColumnView::stored_at(std::int64_t start, std::int64_t end) const {
  std::int64_t latest = kMinTime;
  for (const Run& run : runs_) {
    const std::int64_t newest = std::min(end, run.last);
    if (newest < start) continue;
    latest = std::max(latest, saturating_add(newest, run.longest_delay));
  }
  if (!rest_.empty() && rest_.timestamps.front() <= end && rest_.timestamps.back() >= start) {
    const std::int64_t newest = std::min(end, rest_.timestamps.back());
    latest = std::max(latest, saturating_add(newest, rest_longest_delay_));
  }
  return std::min(latest, head_stored_at_);
}

}  // namespace gpu_telemetry::storage::embedded
