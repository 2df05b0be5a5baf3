// The API gateway as a process of its own, over a shared store.
#pragma once

#include <memory>

#include "concurrency/loop_thread.h"
#include "config/settings.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "services/api_gateway/api_gateway.h"
#include "services/assembly/assembly.h"
#include "services/service.h"

namespace gpu_telemetry::services {

// The gateway as the settings describe it. Errors: kInvalid, kNotFound, kUnavailable, naming the
// setting.
Result<ApiGatewayOptions> gateway_options(const config::Settings& settings);

class GatewayService final : public Service {
 public:
  // The settings are those of config::kApiGateway. Storage need not be there yet.
  static Result<std::unique_ptr<GatewayService>> open(const config::Settings& settings);
  ~GatewayService() override;

  void start(OnEnd on_end) override;  // never ends by itself
  bool stop() override;
  std::vector<std::pair<std::string, std::string>> addresses() const override;

 private:
  explicit GatewayService(const config::Settings& settings) : settings_(settings) {}
  Result<void> open_parts();
  boost::asio::awaitable<void> refresh_store();

  const config::Settings settings_;
  observability::Metrics metrics_;
  observability::Health health_;
  OpenStore store_;
  // Connections to the queue, and looking for rotated credentials.
  concurrency::LoopThread loop_{"gateway"};
  OpenQueue queue_;
  std::unique_ptr<ApiGateway> gateway_;
  bool started_ = false;
};

}  // namespace gpu_telemetry::services
