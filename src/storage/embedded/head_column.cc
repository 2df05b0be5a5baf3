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

namespace {

bool is_earlier(const HeadSample& sample, std::int64_t time) { return sample.timestamp < time; }

// Puts samples that lie in the order of writing into that of time, the last written of each time
// alone.
void put_in_order(std::vector<HeadSample>& samples) {
  std::stable_sort(samples.begin(), samples.end(), [](const HeadSample& a, const HeadSample& b) {
    return a.timestamp < b.timestamp;
  });
  std::size_t kept = 0;
  for (const HeadSample& sample : samples) {
    if (kept > 0 && samples[kept - 1].timestamp == sample.timestamp) --kept;
    samples[kept++] = sample;
  }
  samples.resize(kept);
}

// Adds samples that were written later, ascending as those of `base`; of two with one timestamp
// theirs counts.
void overlay(std::vector<HeadSample>& base, std::span<const HeadSample> newer,
             std::vector<HeadSample>& scratch) {
  if (newer.empty()) return;
  // What lies before the newer ones stays where it is.
  const auto split =
      std::lower_bound(base.begin(), base.end(), newer.front().timestamp, is_earlier);
  scratch.resize(static_cast<std::size_t>(base.end() - split) + newer.size());
  auto old = split;
  auto late = newer.begin();
  auto to = scratch.begin();
  while (old != base.end() && late != newer.end()) {
    // Without a branch: which comes next is anybody's guess.
    const std::int64_t a = old->timestamp;
    const std::int64_t b = late->timestamp;
    *to++ = *(a < b ? &*old : &*late);
    old += a <= b;
    late += b <= a;
  }
  to = std::copy(old, base.end(), to);
  to = std::copy(late, newer.end(), to);
  base.erase(split, base.end());
  base.insert(base.end(), scratch.begin(), to);
}

}  // namespace

void HeadRest::append(Arena& arena, std::int64_t timestamp, double value, std::int64_t stored_at) {
  if (unsorted_size == unsorted_capacity) grow(arena);
  unsorted[unsorted_size++] = {timestamp, value};
  ++size;
  if (timestamp >= newest.timestamp) newest = {timestamp, value};
  earliest = std::min(earliest, timestamp);
  longest_delay = std::max(longest_delay, stored_at - timestamp);
  if (unsorted_size >= kPiece) make_piece(arena);
}

void HeadRest::grow(Arena& arena) {
  const auto capacity = std::max(2 * unsorted_capacity, std::uint32_t{HeadChunks::kFirst});
  auto* const larger = new (arena.allocate(capacity * sizeof(HeadSample))) HeadSample[capacity];
  std::copy_n(unsorted, unsorted_size, larger);
  unsorted = larger;
  unsorted_capacity = capacity;
}

void HeadRest::make_piece(Arena& arena) {
  std::vector<HeadSample> samples(unsorted, unsorted + unsorted_size);
  put_in_order(samples);
  auto* const kept =
      new (arena.allocate(samples.size() * sizeof(HeadSample))) HeadSample[samples.size()];
  std::copy(samples.begin(), samples.end(), kept);
  if (piece_count == 0 || std::has_single_bit(piece_count)) {  // the list is full
    const std::size_t capacity = std::max<std::size_t>(1, std::size_t{2} * piece_count);
    auto* const longer = new (arena.allocate(capacity * sizeof(Piece))) Piece[capacity];
    std::copy_n(pieces, piece_count, longer);
    pieces = longer;
  }
  pieces[piece_count++] = {kept, samples.size()};
  unsorted_size = 0;
}

std::uint64_t HeadRest::most_between(std::int64_t low, std::int64_t high) const {
  if (high < earliest || low > newest.timestamp) return 0;
  std::uint64_t samples = unsorted_size;
  for (const Piece& piece : std::span(pieces, piece_count)) {
    if (piece.front().timestamp <= high && piece.back().timestamp >= low) samples += piece.size();
  }
  return samples;
}

HeadSample HeadColumn::newest() const {
  HeadSample found = main.at[-1];
  if (late == nullptr) return found;
  for (const HeadRun& run : late->sorted) {
    if (run.size > 0 && run.last >= found.timestamp) found = run.at[-1];
  }
  return late->rest.newest.timestamp >= found.timestamp ? late->rest.newest : found;
}

std::uint64_t HeadColumn::count(std::int64_t start, std::int64_t end) const {
  std::uint64_t samples = main.count(start, end);
  if (late == nullptr) return samples;
  for (const HeadRun& run : late->sorted) samples += run.count(start, end);
  return samples + late->rest.most_between(start, end);
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

HeadColumnView::Copy::Copy(const HeadColumn& original) : column(original) {
  if (original.late == nullptr) return;
  late = *original.late;
  unsorted.assign(late->rest.unsorted, late->rest.unsorted + late->rest.unsorted_size);
}

HeadColumnView::HeadColumnView(Copy copy, std::int64_t cutoff, std::int64_t head_stored_at)
    : metric_(copy.column.metric), head_stored_at_(head_stored_at) {
  add_run(copy.column.main, cutoff);
  if (!copy.late) return;
  for (const HeadRun& run : copy.late->sorted) add_run(run, cutoff);
  add_rest(copy.late->rest, std::move(copy.unsorted), cutoff);
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

void HeadColumnView::add_rest(const HeadRest& rest, std::vector<HeadSample> unsorted,
                              std::int64_t cutoff) {
  if (rest.size == 0) return;
  const std::int64_t shown_from =
      head_stored_at_ >= cutoff ? saturating_subtract(cutoff, rest.longest_delay) : cutoff;
  if (rest.newest.timestamp < shown_from) return;
  pieces_ = {rest.pieces, rest.piece_count};
  last_piece_ = std::move(unsorted);
  put_in_order(last_piece_);
  rest_shown_from_ = shown_from;
  rest_first_ = std::max(rest.earliest, shown_from);
  rest_last_ = rest.newest.timestamp;
  rest_longest_delay_ = rest.longest_delay;
  first_ = std::min(first_, rest_first_);
  last_ = std::max(last_, rest_last_);
  samples_ += rest.size;
}

void HeadColumnView::find_rest(std::int64_t start, std::int64_t end,
                               std::vector<HeadSample>& out) const {
  // Merging rewrites what came before, so that many pieces are sorted together instead.
  constexpr std::size_t kFewPieces = 8;
  thread_local std::vector<HeadSample> scratch;  // reused by the thread
  thread_local std::vector<HeadRest::Piece> parts;
  out.clear();
  parts.clear();
  start = std::max(start, rest_shown_from_);
  if (start > end || start > rest_last_) return;
  const auto take = [&](HeadRest::Piece piece) {
    if (piece.empty() || piece.back().timestamp < start || piece.front().timestamp > end) return;
    const auto first = std::lower_bound(piece.begin(), piece.end(), start, is_earlier);
    const auto last =
        end == kMaxTime ? piece.end() : std::lower_bound(first, piece.end(), end + 1, is_earlier);
    if (first != last) parts.emplace_back(first, last);
  };
  for (const HeadRest::Piece& piece : pieces_) take(piece);
  take(last_piece_);
  if (parts.size() <= kFewPieces) {
    for (const HeadRest::Piece& part : parts) overlay(out, part, scratch);
    return;
  }
  for (const HeadRest::Piece& part : parts) out.insert(out.end(), part.begin(), part.end());
  put_in_order(out);
}

template <class Visit>
void HeadColumnView::visit_run(const Run& run, std::int64_t start, std::int64_t end,
                               const Visit& visit) {
  start = std::max(start, run.shown_from);
  if (start > end) return;
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

}  // namespace

void HeadColumnView::aggregate(std::int64_t start, std::int64_t end, std::int64_t step,
                               std::vector<Bucket>& out) const {
  // Reused by the thread.
  thread_local std::vector<HeadSample> rest, merged, newer, scratch;
  BucketFiller filler(step, out);
  find_rest(start, end, rest);
  if (runs_.size() == 1 && rest.empty()) {
    visit_run(runs_.front(), start, end,
              [&filler](std::span<const HeadSample> samples) { filler.add(samples); });
    return;
  }
  const auto gather = [start, end](const Run& run, std::vector<HeadSample>& samples) {
    samples.clear();
    visit_run(run, start, end, [&samples](std::span<const HeadSample> piece) {
      samples.insert(samples.end(), piece.begin(), piece.end());
    });
  };
  merged.clear();
  if (!runs_.empty()) gather(runs_.front(), merged);
  for (std::size_t i = 1; i < runs_.size(); ++i) {
    gather(runs_[i], newer);
    overlay(merged, newer, scratch);
  }
  overlay(merged, rest, scratch);
  filler.add(merged);
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
  if (runs_.size() <= 1 && rest_last_ < start) return;
  Samples newer;
  for (std::size_t i = 1; i < runs_.size(); ++i) {
    newer.clear();
    read_run(runs_[i], start, end, newer);
    overlay(out, newer, scratch);
  }
  thread_local std::vector<HeadSample> rest;  // reused by the thread
  find_rest(start, end, rest);
  newer.clear();
  for (const HeadSample& sample : rest) newer.append(sample.timestamp, sample.value);
  overlay(out, newer, scratch);
}

std::int64_t HeadColumnView::stored_at(std::int64_t start, std::int64_t end) const {
  std::int64_t latest = kMinTime;
  for (const Run& run : runs_) {
    const std::int64_t newest = std::min(end, run.last);
    if (newest < start) continue;
    latest = std::max(latest, saturating_add(newest, run.longest_delay));
  }
  const std::int64_t newest = std::min(end, rest_last_);
  if (newest >= std::max(start, rest_first_)) {
    latest = std::max(latest, saturating_add(newest, rest_longest_delay_));
  }
  return std::min(latest, head_stored_at_);
}

}  // namespace gpu_telemetry::storage::embedded
