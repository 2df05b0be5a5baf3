#include "wire/gpu_cache.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "wire/synthetic_batch.h"

namespace gpu_telemetry::wire {
namespace {

TEST(GpuCache, GivesTheSameObjectForTheSameEntryOnly) {
  std::mt19937_64 random(1);
  GpuCache cache;
  GpuEntry entry;
  entry.uuid = random_uuid(random);
  entry.hostname = "host-1";
  const GpuEntry::Label labels[] = {{"instance", "host-1", ":9400"}};
  entry.labels = labels;
  const GpuPointer first = cache.intern(entry);
  EXPECT_EQ(first->labels[0].second, "host-1:9400");
  EXPECT_EQ(cache.intern(entry), first);
  entry.pod = "training-0";
  const GpuPointer second = cache.intern(entry);
  EXPECT_NE(second, first);
  EXPECT_EQ(second->attribution.pod, "training-0");
  EXPECT_TRUE(first->attribution.pod.empty()) << "what was given out never changes";
}

TEST(GpuCache, ALabelCutElsewhereIsTheSameLabel) {
  GpuCache cache;
  GpuEntry entry;
  const GpuEntry::Label cut_here[] = {{"instance", "host", "-1:9400"}};
  const GpuEntry::Label cut_there[] = {{"instance", "", "host-1:9400"}};
  const GpuEntry::Label other[] = {{"instance", "host-1", "host-1:9400"}};
  entry.labels = cut_here;
  const GpuPointer first = cache.intern(entry);
  entry.labels = cut_there;
  EXPECT_EQ(cache.intern(entry), first);
  entry.labels = other;
  EXPECT_NE(cache.intern(entry), first);
}

TEST(GpuCache, StaysBoundedHoweverManyGpusThereAre) {
  std::mt19937_64 random(1);
  GpuCache cache;
  std::vector<std::weak_ptr<const Gpu>> given;
  for (std::size_t i = 0; i < GpuCache::kMaxEntries + 10'000; ++i) {
    GpuEntry entry;
    entry.uuid = random_uuid(random);
    given.push_back(cache.intern(entry));
  }
  std::size_t alive = 0;
  for (const auto& gpu : given) alive += gpu.expired() ? 0 : 1;
  EXPECT_LE(alive, GpuCache::kMaxEntries);
}

TEST(GpuCache, KeepsNoEntryOfMuchText) {
  GpuCache cache;
  GpuEntry entry;
  const std::string text(GpuCache::kMaxEntryText + 1, 'x');
  entry.pod = text;
  const std::weak_ptr<const Gpu> gpu = cache.intern(entry);
  EXPECT_TRUE(gpu.expired());
}

}  // namespace
}  // namespace gpu_telemetry::wire
