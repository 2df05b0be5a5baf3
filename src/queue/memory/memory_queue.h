// The queue in this process's memory: the fastest engine, and gone with the process.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "domain/clock.h"
#include "queue/ledger_queue.h"

namespace gpu_telemetry::queue {

// `clock` outlives the queue. `timers` runs the queue's one timer (some microseconds now and then);
// its context outlives the queue, as do the contexts of coroutines that wait in a fetch.
std::unique_ptr<LedgerQueue> make_memory_queue(QueueOptions options, const Clock& clock,
                                               boost::asio::any_io_executor timers);

}  // namespace gpu_telemetry::queue
