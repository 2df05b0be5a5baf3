// The API over MongoDB.
#include "services/api_gateway/pipeline_contract.h"
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

const auto kStore =
    ::testing::Values(ApiStoreFactory{"Store", [] { return std::make_unique<MongodbApiStore>(); }});
const auto kName = [](const auto& instance) { return instance.param.name; };

INSTANTIATE_TEST_SUITE_P(Mongodb, ApiContract, kStore, kName);
INSTANTIATE_TEST_SUITE_P(Mongodb, PipelineContract, kStore, kName);
INSTANTIATE_TEST_SUITE_P(Mongodb, StreamContract, kStore, kName);

}  // namespace
}  // namespace gpu_telemetry::services
