#include "sources/simulator/fleet_model.h"

#include <algorithm>

namespace gpu_telemetry::sources {
namespace {

constexpr std::int64_t kSecond = 1'000;  // times are milliseconds
constexpr std::int64_t kMinute = 60 * kSecond;

constexpr std::int64_t kUsableMemory = 81'007;  // MiB: used and free together
constexpr std::int64_t kIdleClock = 345;        // MHz
constexpr std::int64_t kFullClock = 1'980;
constexpr std::int64_t kCappedClock = 1'965;  // near the power limit
constexpr std::int64_t kSlowClock = 1'200;    // too hot
constexpr std::int64_t kMemoryClock = 2'619;
constexpr std::int64_t kPowerLimit = 700'000;  // mW
constexpr std::int64_t kCappedAbove = 675'000;
constexpr std::int64_t kPowerInertia = 4 * kSecond;
constexpr std::int64_t kThermalInertia = 45 * kSecond;
constexpr std::int64_t kMicro = 1'000'000;
constexpr std::int64_t kSlowedAbove = 88 * kMicro;  // C
constexpr std::int64_t kFreedBelow = 80 * kMicro;
constexpr std::int64_t kHotAmbient = 52;  // C, on a host whose cooling fails
constexpr std::int64_t kCoolingFault = 4 * kMinute;
constexpr std::int64_t kThermalSlowdownReason = 0x20;  // DCGM's bit of a software thermal slowdown

enum class JobKind { kTraining, kInference, kTranscoding, kNotebook };

// Moves `value` towards `target` as a body with inertia does, the closer the longer the step.
std::int64_t approach(std::int64_t value, std::int64_t target, std::int64_t step,
                      std::int64_t inertia) {
  return value + (target - value) / (step + inertia) * step +
         (target - value) % (step + inertia) * step / (step + inertia);
}

// A wave of triangles between -amplitude and +amplitude.
std::int64_t triangle(std::int64_t time, std::int64_t period, std::int64_t amplitude) {
  const std::int64_t phase = time % period;
  const std::int64_t half = period / 2;
  return (phase < half ? phase : period - phase) * 2 * amplitude / half - amplitude;
}

std::string numbered(std::string_view prefix, std::uint64_t number, std::size_t width) {
  const std::string digits = std::to_string(number);
  std::string text(prefix);
  text.append(width > digits.size() ? width - digits.size() : 0, '0');
  return text + digits;
}

Attribution attribution_of(JobKind kind, std::uint32_t number, Random& random) {
  constexpr std::array<std::string_view, 4> kPrefixes = {"train-", "serve-", "transcode-",
                                                         "notebook-"};
  constexpr std::array<std::string_view, 4> kContainers = {"trainer", "server", "ffmpeg",
                                                           "jupyter"};
  constexpr std::array<std::string_view, 3> kTeams = {"research", "vision", "language"};
  constexpr std::array<std::string_view, 4> kNamespaces = {"", "serving", "media", "notebooks"};
  const auto at = static_cast<std::size_t>(kind);
  Attribution who;
  who.container = kContainers[at];
  who.pod = numbered(kPrefixes[at], number, 4) + "-0";
  who.pod_namespace = kind == JobKind::kTraining
                          ? kTeams[static_cast<std::size_t>(random.below(std::ssize(kTeams)))]
                          : kNamespaces[at];
  return who;
}

}  // namespace

struct FleetModel::Host {
  std::uint32_t first_gpu = 0;
  std::uint32_t gpu_count = 0;
  std::int64_t ambient = 0;    // C
  std::int64_t hot_until = 0;  // ms of simulated time
};

struct FleetModel::Job {
  JobKind kind = JobKind::kTraining;
  std::uint32_t first_gpu = 0;
  std::uint32_t gpu_count = 0;  // 0: this entry is free
  std::int64_t started = 0;     // ms of simulated time, before 0 for those that ran at the start
  std::int64_t ends = 0;
  std::int64_t ramp = 0;               // ms
  std::int64_t checkpoint_period = 0;  // ms
  std::int64_t checkpoint_length = 0;  // ms
  std::int64_t level = 0;              // thousandths of full load
  std::int64_t memory_traffic = 0;     // per cent of the load
  std::int64_t memory = 0;             // MiB
};

// What a job asks of a GPU at one time.
struct FleetModel::Load {
  std::int64_t utilisation = 0;     // thousandths
  std::int64_t memory_traffic = 0;  // thousandths
  std::int64_t memory = 0;          // MiB
  std::int64_t decoder = 0;         // per cent
  std::int64_t encoder = 0;         // per cent
};

FleetModel::~FleetModel() = default;

FleetModel::FleetModel(const SimulatorOptions& options)
    : options_(options), random_(options.seed, 0) {
  const std::uint32_t host_count = options.hosts != 0 ? options.hosts : (options.gpus + 7) / 8;
  gpus_.reserve(options.gpus);
  hosts_.reserve(host_count);
  for (std::uint64_t host = 0; host < host_count; ++host) {
    const auto first = static_cast<std::uint32_t>(host * options.gpus / host_count);
    const auto end = static_cast<std::uint32_t>((host + 1) * options.gpus / host_count);
    make_host(static_cast<std::uint32_t>(host), end - first);
  }
  for (Host& host : hosts_) place_jobs(host, true);
  for (SimulatedGpu& gpu : gpus_) {
    // Warm from what it was doing.
    const std::int64_t power = gpu.idle_power + load_of(gpu).utilisation * 600;
    gpu.power = power * 1'000;
    gpu.temperature = hosts_[gpu.host].ambient * kMicro + power * gpu.heat;
  }
  next_strike_ = 2 * kMinute;
}

void FleetModel::make_host(std::uint32_t host, std::uint32_t gpu_count) {
  hosts_.push_back(
      {static_cast<std::uint32_t>(gpus_.size()), gpu_count, random_.between(22, 27), 0});
  for (std::uint32_t i = 0; i < gpu_count; ++i) {
    SimulatedGpu& gpu = gpus_.emplace_back();
    gpu.random = Random(options_.seed, gpus_.size());
    gpu.host = host;
    gpu.index_on_host = i;
    std::array<std::uint8_t, 16> bytes;
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(gpu.random.below(256));
    bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x80);  // RFC 9562: version 8, made up
    bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
    gpu.uuid = GpuUuid(GpuUuid::Kind::kGpu, bytes);
    gpu.idle_power = gpu.random.between(64'000, 74'000);
    gpu.heat = gpu.random.between(60, 72);
    gpu.idle_memory = gpu.random.between(4, 7);
  }
}

std::string FleetModel::host_name(std::uint32_t host) const {
  return numbered("node-", host + 1, 3);
}

void FleetModel::place_jobs(Host& host, bool at_start) {
  const std::uint32_t end = host.first_gpu + host.gpu_count;
  for (std::uint32_t first = host.first_gpu; first < end;) {
    std::uint32_t free = 0;
    while (first + free < end && gpus_[first + free].job < 0 &&
           gpus_[first + free].idle_until <= now_) {
      ++free;
    }
    if (free == 0) {
      ++first;
      continue;
    }
    constexpr std::array<std::uint32_t, 8> kSizes = {1, 1, 1, 2, 2, 4, 4, 8};
    const auto size = std::min(free, kSizes[static_cast<std::size_t>(random_.below(8))]);
    if (at_start && random_.below(5) == 0) {
      const std::int64_t idle_until = random_.between(kMinute, 8 * kMinute);
      for (std::uint32_t i = 0; i < size; ++i) gpus_[first + i].idle_until = idle_until;
    } else {
      start_job(first, size, at_start);
    }
    first += size;
  }
}

void FleetModel::start_job(std::uint32_t first_gpu, std::uint32_t gpu_count, bool at_start) {
  std::int32_t index;
  if (free_jobs_.empty()) {
    index = static_cast<std::int32_t>(jobs_.size());
    jobs_.emplace_back();
  } else {
    index = free_jobs_.back();
    free_jobs_.pop_back();
  }
  const std::int64_t dice = random_.below(20);
  Job job;
  job.kind = dice < 11 || gpu_count >= 4 ? JobKind::kTraining
             : dice < 16                 ? JobKind::kInference
             : dice < 17                 ? JobKind::kTranscoding
                                         : JobKind::kNotebook;
  const std::int64_t mean = options_.mean_job_duration.count();
  const std::int64_t duration = mean / 3 + random_.below(mean * 4 / 3 + 1);
  job.first_gpu = first_gpu;
  job.gpu_count = gpu_count;
  job.started = at_start ? now_ - random_.below(duration) : now_;
  job.ends = job.started + duration;
  job.ramp = random_.between(20 * kSecond, 90 * kSecond);
  job.checkpoint_period = random_.between(3 * kMinute, 10 * kMinute);
  job.checkpoint_length = random_.between(15 * kSecond, 45 * kSecond);
  job.level =
      job.kind == JobKind::kTraining ? random_.between(930, 1000) : random_.between(350, 850);
  job.memory_traffic = random_.between(35, 75);
  job.memory = job.kind == JobKind::kNotebook ? random_.between(700, 20'000)
                                              : random_.between(30'000, 77'400);
  const Attribution who = attribution_of(job.kind, ++jobs_started_, random_);
  for (std::uint32_t i = 0; i < gpu_count; ++i) {
    SimulatedGpu& gpu = gpus_[first_gpu + i];
    gpu.job = index;
    gpu.attribution = who;
    ++gpu.attribution_changes;
  }
  jobs_[static_cast<std::size_t>(index)] = job;
}

void FleetModel::end_job(Job& job) {
  const std::int64_t idle_until = now_ + random_.between(20 * kSecond, 6 * kMinute);
  for (std::uint32_t i = 0; i < job.gpu_count; ++i) {
    SimulatedGpu& gpu = gpus_[job.first_gpu + i];
    gpu.job = -1;
    gpu.idle_until = idle_until;
    gpu.attribution = {};
    ++gpu.attribution_changes;
  }
  job.gpu_count = 0;
  free_jobs_.push_back(static_cast<std::int32_t>(&job - jobs_.data()));
}

void FleetModel::advance(std::chrono::milliseconds step) {
  step_ = step.count();
  now_ += step_;
  advance_jobs();
  for (SimulatedGpu& gpu : gpus_) gpu.readings = {};
  if (options_.events) strike();
  for (SimulatedGpu& gpu : gpus_) advance_gpu(gpu);
}

void FleetModel::advance_jobs() {
  for (Job& job : jobs_) {
    if (job.gpu_count != 0 && job.ends <= now_) end_job(job);
  }
  for (Host& host : hosts_) place_jobs(host, false);
}

// Something goes wrong every four minutes, and in a large fleet more often.
void FleetModel::strike() {
  const auto gpu_count = static_cast<std::int64_t>(gpus_.size());
  const std::int64_t pause =
      std::max<std::int64_t>(4 * kMinute * 64 / std::max<std::int64_t>(64, gpu_count), 1);
  for (; next_strike_ <= now_; next_strike_ += pause) {
    const bool heat = ++strikes_ % 3 == 2;
    const auto any_gpu = [&]() -> SimulatedGpu& {
      return gpus_[static_cast<std::size_t>(random_.below(gpu_count))];
    };
    SimulatedGpu* gpu = &any_gpu();
    // Heat that meets idle GPUs shows nothing.
    for (int tries = 0; heat && gpu->job < 0 && tries < 8; ++tries) gpu = &any_gpu();
    if (heat) {
      hosts_[gpu->host].hot_until = now_ + kCoolingFault;
    } else {
      strike_gpu(*gpu);
    }
  }
}

void FleetModel::strike_gpu(SimulatedGpu& gpu) {
  if (strikes_ % 3 == 0) {  // a memory error, mostly corrected
    gpu.single_bit_errors += random_.between(1, 3);
    gpu.readings.set(kEccSingleBit, gpu.single_bit_errors);
    if (random_.below(4) != 0) return;
    gpu.readings.set(kEccDoubleBit, ++gpu.double_bit_errors);
    gpu.readings.set(kXidErrors, 48);  // double-bit ECC error
  } else {
    // A page fault, a stopped channel, a remapped row, a GPU that has fallen off the bus.
    constexpr std::array<std::int64_t, 4> kCodes = {31, 43, 63, 79};
    const std::int64_t code = kCodes[static_cast<std::size_t>(random_.below(4))];
    gpu.readings.set(kXidErrors, code);
    if (code == 79) gpu.absent_until = now_ + kMinute;
  }
  // The job dies of it: this pass is its last.
  if (gpu.job >= 0) jobs_[static_cast<std::size_t>(gpu.job)].ends = now_;
}

FleetModel::Load FleetModel::load_of(SimulatedGpu& gpu) {
  Load load;
  load.memory = gpu.idle_memory;
  if (gpu.job < 0) return load;
  const Job& job = jobs_[static_cast<std::size_t>(gpu.job)];
  const std::int64_t age = now_ - job.started;
  const std::int64_t noise = gpu.random.between(-15, 15);
  const std::int64_t ramped = std::min(age, job.ramp);
  load.memory += (job.memory - gpu.idle_memory) * ramped / job.ramp;
  load.utilisation = job.level * ramped / job.ramp + noise;
  switch (job.kind) {
    case JobKind::kTraining:
      if (age > job.checkpoint_period && age % job.checkpoint_period < job.checkpoint_length) {
        load.utilisation = 30 + noise;
      }
      break;
    case JobKind::kInference:
      load.utilisation += triangle(age, 10 * kMinute, 150) + 3 * noise;
      break;
    case JobKind::kTranscoding:
      load.utilisation /= 3;
      load.decoder = std::clamp<std::int64_t>((job.level + 2 * noise) / 12, 0, 100);
      load.encoder = std::clamp<std::int64_t>((job.level + 4 * noise) / 15, 0, 100);
      break;
    case JobKind::kNotebook:
      if (age % (5 * kMinute) > 40 * kSecond) load.utilisation = 0;
      break;
  }
  load.utilisation = std::clamp<std::int64_t>(load.utilisation, 0, 1000);
  load.memory_traffic = load.utilisation * job.memory_traffic / 100;
  return load;
}

void FleetModel::advance_gpu(SimulatedGpu& gpu) {
  const Load load = load_of(gpu);
  const Host& host = hosts_[gpu.host];
  const std::int64_t jitter = gpu.random.between(-1'500, 1'500);  // mW

  const std::int64_t clock = gpu.throttled ? kSlowClock : kFullClock;
  const std::int64_t drawn =
      std::min(gpu.idle_power + load.utilisation * 620 * clock / kFullClock, kPowerLimit);
  gpu.power = approach(gpu.power, drawn * 1'000, step_, kPowerInertia);
  const std::int64_t ambient = host.hot_until > now_ ? kHotAmbient : host.ambient;
  const std::int64_t warm = ambient * kMicro + gpu.power / 1'000 * gpu.heat;
  gpu.temperature = approach(gpu.temperature, warm, step_, kThermalInertia);

  const bool throttled = gpu.temperature > (gpu.throttled ? kFreedBelow : kSlowedAbove);
  if (throttled != gpu.throttled && options_.events) {
    gpu.readings.set(kThrottleReasons, throttled ? kThermalSlowdownReason : 0);
  }
  gpu.throttled = throttled;

  const std::int64_t power = gpu.power / 1'000 + jitter;
  SimulatedReadings& readings = gpu.readings;
  readings.set(kGpuUtil, (load.utilisation + 5) / 10);
  readings.set(kMemCopyUtil, load.memory_traffic / 10);
  readings.set(kPowerUsage, power);
  readings.set(kGpuTemp, (gpu.temperature + kMicro / 2) / kMicro);
  readings.set(kFbUsed, load.memory);
  readings.set(kFbFree, kUsableMemory - load.memory);
  readings.set(kDecUtil, load.decoder);
  readings.set(kEncUtil, load.encoder);
  readings.set(kSmClock, gpu.job < 0            ? kIdleClock
                         : gpu.throttled        ? kSlowClock
                         : power > kCappedAbove ? kCappedClock
                                                : kFullClock);
  readings.set(kMemClock, kMemoryClock);
  if (options_.events) take_absences(gpu);
}

void FleetModel::take_absences(SimulatedGpu& gpu) {
  SimulatedReadings& readings = gpu.readings;
  constexpr std::uint16_t kRegular = (1U << kRegularMetrics) - 1;
  if (gpu.absent_until > now_) {
    readings.absent = kRegular;
  } else if (gpu.random.below(2'000) == 0) {
    readings.absent =
        static_cast<std::uint16_t>(1U << gpu.random.below(std::int64_t{kRegularMetrics}));
  }
  readings.present = static_cast<std::uint16_t>(readings.present & ~readings.absent);
}

}  // namespace gpu_telemetry::sources
