// Whether storage answers, asked for probes that must not wait for it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "domain/result.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

// One question is asked at a time; who comes meanwhile waits for its answer. Thread-safe.
class StorageProbe {
 public:
  // `telemetry` is asked on `pool`; both outlive the probe's questions.
  StorageProbe(storage::TelemetryRepository& telemetry, boost::asio::thread_pool& pool,
               std::chrono::milliseconds patience = std::chrono::seconds{2})
      : telemetry_(telemetry), pool_(pool), patience_(patience) {}

  // Storage's own answer, or kUnavailable when there was none within the patience.
  boost::asio::awaitable<Result<void>> ask();

 private:
  struct Waiting {
    explicit Waiting(const boost::asio::any_io_executor& executor) : timer(executor) {}
    boost::asio::steady_timer timer;
    std::optional<Result<void>> answer;  // written on the timer's executor
  };
  struct State {
    std::mutex mutex;
    bool asking = false;
    std::vector<std::shared_ptr<Waiting>> waiting;  // guarded by mutex
  };
  static void answer(State& state, const Result<void>& answer);

  storage::TelemetryRepository& telemetry_;
  boost::asio::thread_pool& pool_;
  const std::chrono::milliseconds patience_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace gpu_telemetry::services
