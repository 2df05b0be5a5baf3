// The power is cut at every operation that changes the disk, one after the other: what was
// acknowledged is there afterwards, with the value that was written last.
#include <map>
#include <set>

#include "storage/embedded/store_fixture.h"

namespace gpu_telemetry::storage::embedded {
namespace {

// What was promised while the power was on.
struct Promised {
  std::map<std::int64_t, double> acknowledged;  // time to value, of one metric of one GPU
  // Written since, but the answer never came.
  std::map<std::int64_t, std::set<double>> attempted;
  std::optional<Timestamp> seen_until;
};

const GpuUuid kGpu = numbered_gpu(1);

void write_one(SimulatedStore& simulated, std::int64_t time, double value, Promised& promised) {
  const auto written = simulated.write(
      BatchBuilder().scrape(kGpu, from_unix_milliseconds(time), {{"a", value}}).batch());
  if (written) {
    promised.acknowledged[time] = value;
    promised.attempted.erase(time);
  } else {
    promised.attempted[time].insert(value);
  }
}

void observe_until(SimulatedStore& simulated, std::int64_t time, Promised& promised) {
  auto gpu = std::make_shared<Gpu>();
  gpu->uuid = kGpu;
  gpu->hostname = "node";
  gpu->attribution.pod = "pod-" + std::to_string(time % 7);
  const Timestamp to = from_unix_milliseconds(time);
  const GpuObservation observation{gpu, to, to};
  if (simulated.store().observe({&observation, 1})) promised.seen_until = to;
}

// Writes, overwrites, writes late, observes, seals, merges, and opens again.
void run(SimulatedStore& simulated, Promised& promised) {
  if (!simulated.try_open()) return;
  const std::int64_t start = SimulatedStore::kStart;
  for (std::int64_t round = 0; round < 5; ++round) {
    for (std::int64_t i = 0; i < 3; ++i) {
      write_one(simulated, start + round * 1000 + i, static_cast<double>(round * 10 + i), promised);
    }
    // Of a time that is in a file already, and of another partition.
    write_one(simulated, start, static_cast<double>(100 + round), promised);
    write_one(simulated, start - 100'000'000 + round, static_cast<double>(-round), promised);
    observe_until(simulated, start + round * 1000, promised);
    (void)simulated.store().seal();
    if (round == 2 && !simulated.try_open()) return;
  }
  simulated.clock().advance(std::chrono::hours{5});
  (void)simulated.store().maintain();
  write_one(simulated, start + 1, 77, promised);
  (void)simulated.store().seal();
  (void)simulated.store().maintain();
}

void expect_kept(SimulatedStore& simulated, const Promised& promised) {
  const auto opened = simulated.try_open();
  ASSERT_TRUE(opened) << opened.error();
  EXPECT_TRUE(simulated.report().damage.empty()) << simulated.report().damage.front();
  std::map<std::int64_t, double> found;
  for (const auto& [time, metric, value] : rows_of(simulated.store(), kGpu)) found[time] = value;
  for (const auto& [time, value] : promised.acknowledged) {
    const auto attempted = promised.attempted.find(time);
    ASSERT_TRUE(found.contains(time)) << "lost the sample at " << time;
    if (attempted != promised.attempted.end() && attempted->second.contains(found[time])) continue;
    EXPECT_EQ(found[time], value) << "at " << time;
  }
  for (const auto& [time, value] : found) {
    EXPECT_TRUE(promised.acknowledged.contains(time) || promised.attempted.contains(time));
  }
  if (promised.seen_until) {
    const auto gpu = simulated.store().find(kGpu);
    ASSERT_TRUE(gpu) << gpu.error();
    EXPECT_GE(gpu->last_seen, *promised.seen_until);
  }
}

class StorePowerCut : public testing::TestWithParam<io::PowerCut> {};

TEST_P(StorePowerCut, AtAnyOperationLosesNothingThatWasAcknowledged) {
  std::uint64_t cuts = 0;
  for (std::uint64_t n = 1;; ++n) {
    SimulatedStore simulated;
    simulated.options().retention = std::chrono::milliseconds{0};
    Promised promised;
    simulated.disk().cut_at(n);
    run(simulated, promised);
    if (!simulated.disk().is_off()) break;
    ++cuts;
    simulated.close();
    simulated.disk().reboot(GetParam(), n);
    SCOPED_TRACE("cut at operation " + std::to_string(n));
    expect_kept(simulated, promised);
    if (HasFailure()) return;
    // And it goes on from there.
    const std::int64_t time = SimulatedStore::kStart + 1'000'000;
    write_one(simulated, time, 5, promised);
    EXPECT_TRUE(promised.acknowledged.contains(time));
    const auto sealed = simulated.store().seal();
    EXPECT_TRUE(sealed) << sealed.error();
    expect_kept(simulated, promised);
    if (HasFailure()) return;
  }
  EXPECT_GT(cuts, 100u);
}

// What leads to the columns of a file is written in place when it is mended.
TEST_P(StorePowerCut, WhileAFileIsMendedCostsNothing) {
  for (const std::size_t from_end : {1U, 89U, 180U, 325U}) {
    for (std::uint64_t n = 1;; ++n) {
      SimulatedStore simulated;
      simulated.options().retention = std::chrono::milliseconds{0};
      Promised promised;
      ASSERT_TRUE(simulated.try_open());
      for (int i = 0; i < 9; ++i) {
        write_one(simulated, SimulatedStore::kStart + i * i, i, promised);
      }
      ASSERT_TRUE(simulated.store().seal());
      simulated.close();
      const std::string path = "/store/files/" + simulated.disk().list("/store/files")->at(0);
      const std::size_t size = io::read_file(simulated.disk(), path, 1 << 20)->size();
      simulated.disk().damage(path, size - from_end);
      simulated.disk().cut_at(simulated.disk().operations() + n);
      if (simulated.try_open()) (void)simulated.store().maintain();
      simulated.close();
      if (!simulated.disk().is_off()) break;
      simulated.disk().reboot(GetParam(), n);
      SCOPED_TRACE("cut at operation " + std::to_string(n));
      ASSERT_TRUE(simulated.try_open());
      ASSERT_TRUE(simulated.store().maintain());
      ASSERT_TRUE(simulated.try_open());
      expect_kept(simulated, promised);
      if (HasFailure()) return;
    }
  }
}

// A disk that fails without the power: after the fault the store may refuse, but what it accepted
// before or after is there when it is opened again.
struct Fault {
  const char* name;
  void (*arrange)(io::SimulatedFileSystem&, std::uint64_t nth);
  std::uint64_t most;
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

class StoreFault : public testing::TestWithParam<Fault> {};

TEST_P(StoreFault, AtAnyOperationLosesNothingThatWasAcknowledged) {
  for (std::uint64_t n = 1; n <= GetParam().most; ++n) {
    SimulatedStore simulated;
    simulated.options().retention = std::chrono::milliseconds{0};
    Promised promised;
    GetParam().arrange(simulated.disk(), n);
    run(simulated, promised);
    simulated.disk().cut();
    simulated.close();
    simulated.disk().reboot(io::PowerCut::kDropUnsynced, n);
    SCOPED_TRACE(std::string(GetParam().name) + " " + std::to_string(n));
    expect_kept(simulated, promised);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(
    What, StoreFault,
    testing::Values(
        Fault{"sync", [](io::SimulatedFileSystem& disk, std::uint64_t n) { disk.fail_sync(n); },
              120},
        Fault{"folder_sync",
              [](io::SimulatedFileSystem& disk, std::uint64_t n) { disk.fail_directory_sync(n); },
              60},
        Fault{"write", [](io::SimulatedFileSystem& disk, std::uint64_t n) { disk.fail_write(n); },
              200},
        Fault{"space",
              [](io::SimulatedFileSystem& disk, std::uint64_t n) {
                disk.set_free_space((n - 1) * 8192);
              },
              150}),
    [](const auto& instance) { return instance.param.name; });

INSTANTIATE_TEST_SUITE_P(What, StorePowerCut,
                         testing::Values(io::PowerCut::kDropUnsynced, io::PowerCut::kKeepAll,
                                         io::PowerCut::kKeepSomeWrites,
                                         io::PowerCut::kTearSectors));

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
