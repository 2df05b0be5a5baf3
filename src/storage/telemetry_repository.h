// Samples, stored once and asked for by GPU and time.
//
// Implementations: embedded/ and mongodb/. Both pass telemetry_repository_contract.h. All
// functions block unless they say otherwise (call them through concurrency/async_offload.h) and may
// be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/gpu_uuid.h"
#include "domain/result.h"
#include "domain/telemetry_batch.h"
#include "domain/time.h"

namespace gpu_telemetry::storage {

// A decoded batch and, when the caller still has it, its encoding (domain/batch_codec.h), which
// spares a repository that stores bytes from encoding it again. Both outlive the call.
struct BatchToWrite {
  const TelemetryBatch* batch = nullptr;
  std::string_view encoded;  // empty: not at hand
};

enum class Order { kNewestFirst, kOldestFirst };

// The place of a sample in an answer; where a page ended.
struct SampleKey {
  Timestamp timestamp;
  std::string metric;
  friend bool operator==(const SampleKey&, const SampleKey&) = default;
};

struct SampleQuery {
  GpuUuid gpu;
  // Inclusive at both ends.
  Timestamp start = Timestamp::min();
  Timestamp end = Timestamp::max();
  // Canonical names; empty: all metrics.
  std::vector<std::string> metrics;
  Order order = Order::kNewestFirst;
  // Only samples that come after this one in the answer's order.
  std::optional<SampleKey> after;
  // At most so many samples; 0: all.
  std::uint64_t limit = 0;
};

struct StoredSample {
  Timestamp timestamp;
  std::uint32_t metric = 0;  // index into SampleCursor::metric_names()
  double value = 0;
};

// Samples that are read, and written as text, in a millisecond or two.
inline constexpr std::uint64_t kShortAnswer = 10'000;

// Samples of one metric in an answer's order.
struct SampleColumn {
  std::uint32_t metric = 0;             // index into SampleCursor::metric_names()
  std::span<const std::int64_t> times;  // Unix milliseconds
  std::span<const double> values;       // as many
};

// An answer that is read block by block, so that a million samples never lie in memory at once. It
// shows everything that was stored when the query was made (and in MongoDB maybe some of what was
// stored since), holds no lock, and may be read from any one thread at a time. It must not outlive
// its repository.
class SampleCursor {
 public:
  virtual ~SampleCursor() = default;
  // The next samples, in order: by timestamp (in the query's order), ties by metric name ascending.
  // Empty at the end. The span is valid until the next call.
  // Errors: kCorrupt (damage, named; samples before it were right), kUnavailable.
  virtual Result<std::span<const StoredSample>> next() = 0;
  // The same block apart by metric, where an answer is wanted so: it need not be put in order
  // first. By ascending metric, each once and with at least one sample; empty at the end. The
  // columns are valid until the next call of either. Errors: as next().
  virtual Result<std::span<const SampleColumn>> next_columns() = 0;
  // Sorted by name; complete and unchanging from the start.
  virtual std::span<const std::string> metric_names() const = 0;
};

// One metric of many GPUs, in buckets aligned to the epoch.
struct AggregateQuery {
  std::string metric;  // canonical
  std::vector<GpuUuid> gpus;
  Timestamp start;
  Timestamp end;              // inclusive; end - start must be finite
  Milliseconds step{60'000};  // > 0; (end - start) / step at most kMaxBuckets
};
inline constexpr std::uint64_t kMaxBuckets = 11'000;

struct Bucket {
  Timestamp start;  // a multiple of `step`; samples of [start, start + step) within the range
  std::uint64_t count = 0;  // > 0
  double sum = 0;
  double min = 0;
  double max = 0;
  double last = 0;  // the value with the latest timestamp
};

struct GpuBuckets {
  GpuUuid gpu;
  std::vector<Bucket> buckets;  // oldest first, empty ones left out
};

// What becomes of the samples of a group of GPUs in one bucket of time.
enum class Combine {
  kAverage,   // the mean of all samples, whichever GPU they are of
  kMin,       // the least of them
  kMax,       // the greatest
  kCount,     // how many there are
  kSum,       // each GPU's mean, added up: what the group draws or holds together
  kLast,      // each GPU's newest value, the mean of them
  kIncrease,  // of a counter: what each GPU's grew by, added up
  kRate,      // of a counter: each GPU's growth in one second, added up
};
// A counter that falls has begun again at 0, and has grown by its new value. It grows between two
// neighbouring samples of a GPU; the growth belongs to the bucket (and to the group) of the second,
// and the first may lie before the range by up to kCounterLookback. kRate divides by the time
// between the samples, so that a gap makes no peak.
inline constexpr std::chrono::minutes kCounterLookback{5};

// One metric of many GPUs in buckets aligned to the epoch, groups of them taken together.
struct GroupQuery {
  // A GPU belongs to a group from `start` to `end` (inclusive). At no time is it in two.
  struct Member {
    GpuUuid gpu;
    std::uint32_t group = 0;
    Timestamp start = Timestamp::min();
    Timestamp end = Timestamp::max();
  };
  std::string metric;           // canonical
  std::vector<Member> members;  // ascending by GPU, then group, then start
  Timestamp start;
  Timestamp end;              // inclusive; end - start must be finite
  Milliseconds step{60'000};  // as AggregateQuery's
  Combine combine = Combine::kAverage;
};

// The buckets of a group that have a value, oldest first.
struct GroupSeries {
  std::uint32_t group = 0;
  std::vector<Timestamp> times;  // each a multiple of the step
  std::vector<double> values;    // as many
  friend bool operator==(const GroupSeries&, const GroupSeries&) = default;
};

// The newest value of some metrics of many GPUs.
struct LatestQuery {
  struct Place {
    GpuUuid gpu;
    Timestamp since;  // what is older is no answer
  };
  std::vector<std::string> metrics;  // canonical, each once
  std::vector<Place> gpus;
};

// Row after row, one for each place of the query, with a cell for each of its metrics.
struct LatestTable {
  std::vector<double> values;    // NaN where there is none, or the one there is is damaged
  std::vector<Timestamp> times;  // of the values; Timestamp::min() where there is none
};

// One metric that a GPU has samples of.
struct MetricPresence {
  std::string metric;
  Timestamp first;
  Timestamp last;
};

struct LatestSample {
  std::string metric;
  Timestamp timestamp;
  double value = 0;
};

class TelemetryRepository {
 public:
  virtual ~TelemetryRepository() = default;

  // Stores every sample of the batches. Returns only when they are safe against a power cut; after
  // an error any part may have been stored, and writing the same again is right: a sample is known
  // by (GPU UUID, timestamp, metric), partial scrapes of one key merge, and of two values the one
  // written last wins. Order between concurrent calls is not defined.
  // Errors: kFull (no space; nothing was lost), kUnavailable, kInvalid (a batch whose invariants do
  // not hold).
  virtual Result<void> write(std::span<const BatchToWrite> batches) = 0;

  // An unknown GPU has no samples; that is no error.
  virtual Result<std::unique_ptr<SampleCursor>> query(const SampleQuery& query) = 0;

  // The same, where neither this call nor the cursor waits for anything, disk or network, and they
  // have no more than kShortAnswer samples to look at: both may be called where nothing may block.
  // Null, else.
  virtual std::unique_ptr<SampleCursor> query_at_once(const SampleQuery& /*query*/) {
    return nullptr;
  }

  // One entry per queried GPU that has samples in the range, in the order of the query.
  virtual Result<std::vector<GpuBuckets>> aggregate(const AggregateQuery& query) = 0;

  // The same, added up to groups where the samples are. One entry for each group that has a value,
  // by ascending group. Errors: as aggregate.
  virtual Result<std::vector<GroupSeries>> aggregate_groups(const GroupQuery& query) = 0;

  virtual Result<LatestTable> latest_values(const LatestQuery& query) = 0;

  // How often each GPU is scraped: the median of the gaps between the newest samples (up to 16) of
  // a metric that it has been reporting lately. Zero when there are fewer than two. In the order of
  // `gpus`. A scrape may come in parts with times of their own, so what counts is one metric.
  virtual Result<std::vector<Milliseconds>> scrape_intervals(std::span<const GpuUuid> gpus) = 0;

  // The newest sample of each metric of the GPU, sorted by metric. A metric whose newest sample is
  // damaged is left out; kCorrupt when that leaves none.
  virtual Result<std::vector<LatestSample>> latest(const GpuUuid& gpu) = 0;

  // Which metrics the GPU has, and since when until when, sorted by metric. Where the first sample
  // is damaged, `first` is a time that it is not before.
  virtual Result<std::vector<MetricPresence>> metrics_of(const GpuUuid& gpu) = 0;

  // Every metric that any GPU has, sorted; also some that expired since, or that a refused write
  // named.
  virtual Result<std::vector<std::string>> metric_names() = 0;

  // Whether it answers. Cheap. Errors: kUnavailable, kFull.
  virtual Result<void> check_health() = 0;
};

}  // namespace gpu_telemetry::storage
