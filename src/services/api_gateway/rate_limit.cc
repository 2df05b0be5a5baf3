#include "services/api_gateway/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace gpu_telemetry::services {
namespace {

constexpr std::size_t kMostClients = 100'000;

}  // namespace

RateLimit::RateLimit(double per_second, const Clock& clock)
    : per_second_(per_second), most_(std::max(per_second, 1.0)), clock_(clock) {}

double RateLimit::tokens_at(const Bucket& bucket, SteadyTime now) const {
  const std::chrono::duration<double> passed = now - bucket.filled;
  return std::min(most_, bucket.tokens + passed.count() * per_second_);
}

void RateLimit::forget_full(SteadyTime now) {
  std::erase_if(buckets_, [&](const auto& each) { return tokens_at(each.second, now) >= most_; });
  // So many clients at once: whoever comes next begins anew.
  if (buckets_.size() >= kMostClients) buckets_.clear();
}

std::uint64_t RateLimit::take(std::string_view address) {
  if (per_second_ <= 0) return 0;
  const SteadyTime now = clock_.steady_now();
  const concurrency::MutexLock lock(mutex_);
  if (buckets_.size() >= kMostClients) forget_full(now);
  const auto [place, is_new] = buckets_.try_emplace(std::string(address), Bucket{most_, now});
  Bucket& bucket = place->second;
  bucket.tokens = tokens_at(bucket, now);
  bucket.filled = now;
  if (bucket.tokens >= 1) {
    bucket.tokens -= 1;
    return 0;
  }
  return static_cast<std::uint64_t>(std::ceil((1 - bucket.tokens) / per_second_));
}

}  // namespace gpu_telemetry::services
