// A fleet that does not exist: jobs come and go on it, and its readings move together as real ones
// do.
//
// The same options give the same readings, byte for byte, on every platform.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "domain/clock.h"
#include "domain/result.h"
#include "domain/time.h"
#include "sources/source.h"

namespace gpu_telemetry::sources {

inline constexpr std::uint32_t kMaxSimulatedGpus = 1'000'000;

struct SimulatorOptions {
  std::uint32_t gpus = 16;  // 1 to kMaxSimulatedGpus; some 700 bytes of memory for each
  std::uint32_t hosts = 0;  // at most one for each GPU, which are spread evenly; 0: 8 GPUs a host
  std::uint64_t seed = 1;
  // Between two passes over the fleet. Zero, for the live source only: as fast as they are taken.
  std::chrono::milliseconds interval = std::chrono::seconds{10};
  // Jobs last from a third of it to five thirds.
  std::chrono::milliseconds mean_job_duration = std::chrono::minutes{30};
  // XID errors, ECC errors, overheated hosts and readings that are absent. Off: exactly ten present
  // readings of each GPU in each pass.
  bool events = true;

  // The live source only:
  // Passes are not waited for; their timestamps are `interval` apart, from `start` on.
  bool unpaced = false;
  std::optional<Timestamp> start;  // of an unpaced simulation; absent: the clock's time
  std::uint64_t passes = 0;        // the source ends after so many; 0: never
};

// Errors: kInvalid, naming the option, its value and the accepted ones.
Result<void> validate(const SimulatorOptions& options);

// Receives the next piece of a text, which is valid during the call only. An error ends the
// simulation and is its result.
using TextSink = std::function<Result<void>(std::string_view)>;

// Writes the passes at `start`, `start + interval`... that begin before `start + duration` as CSV,
// in pieces of about 1 MiB: the columns, quoting and order of the exporter's files. In each pass
// come all GPUs' readings of one metric, then of the next; the ten metrics take up to 3 seconds (a
// quarter of the interval for each second, when it is shorter than 4 s), and the timestamps say so.
// After them come rows of further metrics (XID, throttle reasons, ECC errors) for the GPUs to which
// one of these events happened in the pass: most passes have none. Errors: kInvalid as validate,
// and for an interval of zero; those of `sink`.
Result<void> simulate_csv(const SimulatorOptions& options, std::chrono::milliseconds duration,
                          Timestamp start, const TextSink& sink);

// A simulation that is written to a file: `gpu-telemetry simulate`.
struct SimulationFileOptions {
  SimulatorOptions fleet;
  std::chrono::milliseconds duration = std::chrono::hours{1};
  Timestamp start = from_unix_milliseconds(1'735'689'600'000);  // 2025-01-01T00:00:00Z
};

// Writes it to `path`, replacing what is there, or to standard output when `path` is "-".
// Errors: those of simulate_csv; kUnavailable, naming the path, when it cannot be written (what was
// written until then stays).
Result<void> write_simulation(const SimulationFileOptions& options, const std::string& path);

// The fleet as a live source: each pass is one scrape of each GPU of the shard. A pass is stamped
// with the clock's time when it starts; with an interval of zero there is at most one each
// millisecond. A reader that comes late for a pass gets it at once and misses those that it slept
// through. `clock` outlives the source. Errors: as validate.
Result<std::unique_ptr<Source>> make_simulator_source(const SimulatorOptions& options,
                                                      const Clock& clock = system_clock(),
                                                      Shard shard = {});

}  // namespace gpu_telemetry::sources
