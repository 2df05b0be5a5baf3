// What a process says about itself when it is asked whether it is well.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "concurrency/thread_annotations.h"

namespace gpu_telemetry::observability {

// The named conditions under which a process can do its work, and whether it is on its way out.
// /readyz answers 503 unless ready(); /livez never asks it, because a restart mends no dependency.
// Thread-safe. Whoever watches a condition reports it; nothing here calls a dependency.
class Health {
 public:
  struct Check {
    std::string name;
    bool ok = false;
    std::string reason;  // why not; of one that is ok, what should be known all the same, or empty
    friend bool operator==(const Check&, const Check&) = default;
  };
  struct State {
    bool ready = false;
    bool draining = false;
    std::vector<Check> checks;  // by name
  };

  // Names a condition that does not hold yet, so that the process is not ready before it does.
  void expect(std::string_view name);
  // The condition holds, or does not, and why. A change is logged. An unknown name is added.
  // `remark`: shown beside a condition that holds.
  void set_ok(std::string_view name, std::string_view remark = {});
  void set_failed(std::string_view name, std::string_view reason);

  // From here on the process is not ready: it finishes what it has and takes nothing new. For good.
  void start_draining();

  bool draining() const;
  // Every condition holds and the process is not draining.
  bool ready() const;
  State state() const;

 private:
  struct Condition {
    bool ok = false;
    std::string reason;
  };

  bool all_ok() const GPU_TELEMETRY_REQUIRES(mutex_);

  mutable concurrency::Mutex mutex_;
  std::map<std::string, Condition, std::less<>> conditions_ GPU_TELEMETRY_GUARDED_BY(mutex_);
  bool draining_ GPU_TELEMETRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gpu_telemetry::observability
