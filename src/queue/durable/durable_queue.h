// The queue on this machine's disk: what it has acknowledged survives the process and the power.
//
// A publish returns when its messages are on the device (publishes that wait at the same time share
// one sync), and only then are they shown to consumers. Acks and deliveries are written behind:
// after a power cut what was acked in the last moments may be delivered again. Messages are in
// memory too, so that nothing is read back but at the start.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "domain/clock.h"
#include "domain/result.h"
#include "io/file_system.h"
#include "observability/health.h"
#include "queue/ledger_queue.h"

namespace gpu_telemetry::queue {

struct DurableQueueOptions {
  QueueOptions queue;
  std::string directory;  // created when it is not there
  // Larger segments are given back later; smaller ones cost a checkpoint and a sync more often.
  // At least four times the largest message.
  ByteSize segment_size = 64_MiB;
  // All consumers are in the process that has the queue open, so that none outlived it: what was
  // leased when it ended is ready at once. Else a lease goes on, with a fresh visibility timeout.
  bool consumers_are_local = false;
  io::FileSystem* files = nullptr;  // null: posix_file_system()
  // Null or outlives the queue. Its condition "queue" fails for good with a write or sync that
  // fails: nothing is accepted any more until the queue is opened again, though what it holds is
  // still delivered. A full disk is no such failure.
  observability::Health* health = nullptr;
};

// Opens or creates the queue and reads it back. `clock` outlives the queue; `timers` as in
// memory_queue.h. Destroying the queue writes what is left; until then the contexts of those who
// wait for it exist, since a thread of the queue resumes them. Errors: kConflict (another process
// has the directory), kInvalid, kCorrupt, kUnavailable, kFull.
Result<std::unique_ptr<LedgerQueue>> open_durable_queue(DurableQueueOptions options,
                                                        const Clock& clock,
                                                        boost::asio::any_io_executor timers);

}  // namespace gpu_telemetry::queue
