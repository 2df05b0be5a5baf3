// The MongoDB store keeps the promises of both repositories.
#include "storage/gpu_repository_contract.h"
#include "storage/mongodb/test_server.h"
#include "storage/telemetry_repository_contract.h"

namespace gpu_telemetry::storage::mongodb {
namespace {

class Harness : public TelemetryRepositoryHarness, public GpuRepositoryHarness {
 public:
  Harness() { database_.open(); }
  MongodbStore& repository() override { return database_.store(); }
  void reopen() override { database_.open(); }

 private:
  TestDatabase database_;
};

INSTANTIATE_TEST_SUITE_P(Mongodb, TelemetryRepositoryContract,
                         testing::Values(TelemetryRepositoryFactory{
                             "Store", [] { return std::make_unique<Harness>(); }}),
                         [](const auto& instance) { return instance.param.name; });

INSTANTIATE_TEST_SUITE_P(Mongodb, FleetContract,
                         testing::Values(TelemetryRepositoryFactory{
                             "Store", [] { return std::make_unique<Harness>(); }}),
                         [](const auto& instance) { return instance.param.name; });

INSTANTIATE_TEST_SUITE_P(Mongodb, GpuRepositoryContract,
                         testing::Values(GpuRepositoryFactory{
                             "Store", [] { return std::make_unique<Harness>(); }}),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace gpu_telemetry::storage::mongodb
