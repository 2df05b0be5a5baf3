// The API over the embedded store.
#include "services/api_gateway/pipeline_contract.h"
#include "storage/embedded/store_fixture.h"

namespace gpu_telemetry::services {
namespace {

class EmbeddedApiStore final : public ApiStore {
 public:
  EmbeddedApiStore() {
    storage::embedded::EmbeddedStoreOptions options;
    options.path = folder_.path() + "/store";
    options.codec = &storage::embedded::plain_codec();
    options.background = false;
    auto opened = storage::embedded::EmbeddedStore::open(options);
    EXPECT_TRUE(opened) << opened.error();
    if (opened) store_ = std::move(*opened);
  }
  storage::TelemetryRepository& telemetry() override { return *store_; }
  storage::GpuRepository& gpus() override { return *store_; }

 private:
  storage::embedded::TemporaryFolder folder_;
  std::unique_ptr<storage::embedded::EmbeddedStore> store_;
};

const auto kStore = ::testing::Values(
    ApiStoreFactory{"Store", [] { return std::make_unique<EmbeddedApiStore>(); }});
const auto kName = [](const auto& instance) { return instance.param.name; };

INSTANTIATE_TEST_SUITE_P(Embedded, ApiContract, kStore, kName);
INSTANTIATE_TEST_SUITE_P(Embedded, PipelineContract, kStore, kName);
INSTANTIATE_TEST_SUITE_P(Embedded, StreamContract, kStore, kName);

}  // namespace
}  // namespace gpu_telemetry::services
