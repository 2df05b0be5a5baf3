// New samples as they come, for any number of readers: storage is asked once for all of them.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "domain/clock.h"
#include "domain/gpu.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

// What one reader wants to see.
struct TailFilter {
  std::vector<std::string> metrics;  // sorted, not empty
  std::vector<GpuUuid> gpus;         // sorted; empty: all
  storage::GpuFilter filter;

  bool matches(const Gpu& gpu) const;
};

// Appends `event: sample` of one GPU at one time to `out`.
void append_sample_event(std::string& out, const GpuUuid& gpu, Timestamp time,
                         const std::vector<std::pair<std::string_view, double>>& values);

// One reader's place: events wait here until they are sent, no more than kMostWaiting bytes; a
// reader that is slower loses them and is told so.
class TailReader {
 public:
  static constexpr std::size_t kMostWaiting = 1 << 20;

  TailReader(TailFilter filter, std::function<void()> wake)
      : filter_(std::move(filter)), wake_(std::move(wake)) {}

  const TailFilter& filter() const { return filter_; }

  // For the tail. `earliest` is the time of the events.
  void push(std::string_view events, Timestamp earliest);
  // `wake` is not called once this has returned, so that what it uses may go.
  void close();
  // For the reader: what waits, with an `event: gap` before it when something was lost.
  std::string take();

 private:
  const TailFilter filter_;
  // From the tail's thread, under the mutex, when something waits.
  const std::function<void()> wake_;
  std::mutex mutex_;
  bool closed_ = false;
  std::string waiting_;
  std::optional<Timestamp> lost_since_;
};

// Thread-safe. Its thread asks storage for newest values while there are readers, and not
// otherwise.
class LiveTail {
 public:
  static constexpr std::size_t kMostReaders = 1'000;

  // References outlive it. `interval`: between questions to storage; samples of one GPU and metric
  // that come faster are seen as the newest of them.
  LiveTail(storage::TelemetryRepository& telemetry, storage::GpuRepository& gpus,
           const Clock& clock, std::chrono::milliseconds interval);
  ~LiveTail();
  LiveTail(const LiveTail&) = delete;
  LiveTail& operator=(const LiveTail&) = delete;

  // False when there are kMostReaders.
  bool add(const std::shared_ptr<TailReader>& reader);
  // Closes it too: the thread may be looking in its name.
  void remove(const std::shared_ptr<TailReader>& reader);

 private:
  // What was seen of one GPU, by metric of the union.
  struct Seen {
    std::vector<Timestamp> times;
  };
  using Readers = std::vector<std::shared_ptr<TailReader>>;

  void run(const std::stop_token& stop);
  void look(const Readers& readers);
  void take_metrics(const Readers& readers);

  storage::TelemetryRepository& telemetry_;
  storage::GpuRepository& gpus_;
  const Clock& clock_;
  const std::chrono::milliseconds interval_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  Readers readers_;

  // Of the thread.
  std::vector<std::string> metrics_;  // all that any reader wants, sorted
  std::unordered_map<GpuUuid, Seen> seen_;
  bool failed_ = false;  // the last look; said once

  std::jthread thread_;  // last, so that it ends before what it uses
};

}  // namespace gpu_telemetry::services
