// How often one client may ask: a bucket of tokens for each address.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "concurrency/thread_annotations.h"
#include "domain/clock.h"

namespace gpu_telemetry::services {

// Thread-safe. Remembers an address as long as its bucket is not full, and at most 100,000 of them.
class RateLimit {
 public:
  // `per_second` on average and, after a pause, as many at once; at least one. 0: no limit.
  RateLimit(double per_second, const Clock& clock);

  // Takes one from the client's bucket. Returns zero, or after how many seconds there is one again.
  std::uint64_t take(std::string_view address);

 private:
  struct Bucket {
    double tokens = 0;
    SteadyTime filled;
  };
  void forget_full(SteadyTime now) GPU_TELEMETRY_REQUIRES(mutex_);
  double tokens_at(const Bucket& bucket, SteadyTime now) const;

  const double per_second_;
  const double most_;
  const Clock& clock_;
  concurrency::Mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_ GPU_TELEMETRY_GUARDED_BY(mutex_);
};

}  // namespace gpu_telemetry::services
