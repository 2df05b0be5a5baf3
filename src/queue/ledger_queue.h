// A MessageQueue whose time can be moved: what the engines built on the ledger have beyond the
// interface.
#pragma once

#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

class LedgerQueue : public MessageQueue {
 public:
  // Handles everything that is due by the queue's clock: leases, delays, waits. A timer calls it; a
  // test that moves a ManualClock calls it too. Thread-safe.
  virtual void poke() = 0;
};

}  // namespace gpu_telemetry::queue
