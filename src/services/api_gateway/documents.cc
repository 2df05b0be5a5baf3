#include "services/api_gateway/documents.h"

#include "observability/build_info.h"
#include "services/api_gateway/routes.h"
#include "services/api_gateway/schemas.h"

namespace gpu_telemetry::services {
namespace {

constexpr std::string_view kDescription =
    "What every GPU of a fleet is doing, now and over time.\n\n"
    "Times are RFC 3339 in UTC. Names of metrics are DCGM's; of a field that DCGM renamed either "
    "name is accepted, and the earlier one is shown. Errors are RFC 9457 problems, whose `detail` "
    "says what was wrong and what would be right; a query parameter that is not known is one. Each "
    "GET also answers HEAD, compresses by Accept-Encoding, and has an ETag where the answer is "
    "made "
    "whole. X-Request-Id is taken over, or made up, and stands in the log.";

// Routes are documented without ever being asked.
class NoStorage final : public storage::TelemetryRepository, public storage::GpuRepository {
 public:
  Result<void> write(std::span<const storage::BatchToWrite>) override { return none(); }
  Result<std::unique_ptr<storage::SampleCursor>> query(const storage::SampleQuery&) override {
    return none();
  }
  Result<std::vector<storage::GpuBuckets>> aggregate(const storage::AggregateQuery&) override {
    return none();
  }
  Result<std::vector<storage::GroupSeries>> aggregate_groups(const storage::GroupQuery&) override {
    return none();
  }
  Result<storage::LatestTable> latest_values(const storage::LatestQuery&) override {
    return none();
  }
  Result<std::vector<Milliseconds>> scrape_intervals(std::span<const GpuUuid>) override {
    return none();
  }
  Result<std::vector<storage::LatestSample>> latest(const GpuUuid&) override { return none(); }
  Result<std::vector<storage::MetricPresence>> metrics_of(const GpuUuid&) override {
    return none();
  }
  Result<std::vector<std::string>> metric_names() override { return none(); }
  Result<void> check_health() override { return none(); }
  Result<void> observe(std::span<const storage::GpuObservation>) override { return none(); }
  Result<storage::GpuPage> list(const storage::GpuFilter&, std::optional<GpuUuid>,
                                std::uint64_t) override {
    return none();
  }
  Result<GpuRecord> find(const GpuUuid&) override { return none(); }
  Result<std::vector<AttributionInterval>> attribution(const GpuUuid&, Timestamp,
                                                       Timestamp) override {
    return none();
  }
  Result<std::vector<std::vector<AttributionInterval>>> attribution_in_force(
      std::span<const GpuUuid>, Timestamp, Timestamp) override {
    return none();
  }

 private:
  static Error none() { return unavailable("there is no storage"); }
};

}  // namespace

OpenApiInfo api_info() {
  OpenApiInfo info;
  info.title = "GPU telemetry API";
  info.description = kDescription;
  info.version = observability::build_info().version;
  for (const NamedSchema& schema : api_schemas()) info.schemas.push_back(schema);
  return info;
}

Result<OpenApiDocument> api_document() {
  NoStorage storage;
  observability::Health health;
  observability::Metrics metrics;
  ApiGatewayOptions options;
  options.server.port = 0;
  // Bound and never started.
  const auto gateway =
      ApiGateway::listen(std::move(options), storage, storage, system_clock(), health, metrics);
  if (!gateway) return gateway.error();
  return (*gateway)->document();
}

}  // namespace gpu_telemetry::services
