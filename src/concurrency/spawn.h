// Coroutines that nobody waits for.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <utility>

#include "concurrency/exception_text.h"
#include "observability/log.h"

namespace gpu_telemetry::concurrency {

// Runs `work` on `executor`. Our functions return errors, so an exception that leaves `work` is a
// defect or the end of memory: half of a service would be dead from then on and the rest would look
// well. It is logged and the process ends, to be started again with everything that was safe.
template <class Executor>
void spawn(const Executor& executor, boost::asio::awaitable<void> work) {
  auto ended = [](const std::exception_ptr& thrown) {
    if (!thrown) return;
    observability::log_error("a task ended with an exception, so does the process",
                             {{"reason", exception_text(thrown)}});
    std::terminate();
  };
  boost::asio::co_spawn(executor, std::move(work), std::move(ended));
}

}  // namespace gpu_telemetry::concurrency
