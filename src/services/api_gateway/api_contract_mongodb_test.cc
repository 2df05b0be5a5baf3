// The API over MongoDB.
#include "services/api_gateway/gpu_contract_test.h"
#include "services/api_gateway/telemetry_contract_test.h"
#include "storage/mongodb/test_store.h"

namespace gpu_telemetry::services {
namespace {

class MongodbApiStore final : public ApiStore {
 public:
  storage::TelemetryRepository& telemetry() override { return store_->store(); }
  storage::GpuRepository& gpus() override { return store_->store(); }

 private:
  const std::unique_ptr<storage::mongodb::TestStore> store_ = storage::mongodb::make_test_store();
};

INSTANTIATE_TEST_SUITE_P(Mongodb, ApiContract,
                         ::testing::Values(ApiStoreFactory{
                             "Store", [] { return std::make_unique<MongodbApiStore>(); }}),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace gpu_telemetry::services
