// The embedded store keeps the promises of both repositories, on a real disk.
#include "storage/embedded/store_fixture.h"
#include "storage/gpu_repository_contract.h"
#include "storage/telemetry_repository_contract.h"

namespace gpu_telemetry::storage::embedded {
namespace {

class Harness : public TelemetryRepositoryHarness, public GpuRepositoryHarness {
 public:
  explicit Harness(ByteSize head_size) {
    options_.path = folder_.path() + "/store";
    options_.codec = &plain_codec();
    options_.head_size = head_size;
    open();
  }

  EmbeddedStore& store() { return *store_; }
  void open() {
    store_.reset();
    auto opened = EmbeddedStore::open(options_, &report_);
    ASSERT_TRUE(opened) << opened.error();
    store_ = std::move(*opened);
    EXPECT_TRUE(report_.damage.empty()) << report_.damage.front();
  }

 private:
  TemporaryFolder folder_;
  EmbeddedStoreOptions options_;
  OpenReport report_;
  std::unique_ptr<EmbeddedStore> store_;

 public:
  EmbeddedStore& repository() override { return *store_; }
  void reopen() override { open(); }
  void settle() override {
    const auto sealed = store_->seal();
    EXPECT_TRUE(sealed) << sealed.error();
    const auto maintained = store_->maintain();
    EXPECT_TRUE(maintained) << maintained.error();
  }
};

const auto kRoomyAndTiny = testing::Values(
    TelemetryRepositoryFactory{"WithARoomyHead", [] { return std::make_unique<Harness>(8_MiB); }},
    TelemetryRepositoryFactory{"WithATinyHead", [] { return std::make_unique<Harness>(16_KiB); }});

INSTANTIATE_TEST_SUITE_P(Embedded, TelemetryRepositoryContract, kRoomyAndTiny,
                         [](const auto& instance) { return instance.param.name; });
INSTANTIATE_TEST_SUITE_P(Embedded, FleetContract, kRoomyAndTiny,
                         [](const auto& instance) { return instance.param.name; });

INSTANTIATE_TEST_SUITE_P(Embedded, GpuRepositoryContract,
                         testing::Values(GpuRepositoryFactory{
                             "Store", [] { return std::make_unique<Harness>(8_MiB); }}),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
