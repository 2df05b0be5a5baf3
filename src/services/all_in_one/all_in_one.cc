#include "services/all_in_one/all_in_one.h"

#include <prometheus/counter.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <utility>

#include "concurrency/spawn.h"
#include "observability/log.h"
#include "services/api_gateway/gateway_service.h"
#include "services/queue_service/queue_service.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;
using observability::log_info;
using observability::log_warn;
using std::chrono::milliseconds;
namespace {

milliseconds time_left(SteadyTime deadline) {
  const auto left = deadline - system_clock().steady_now();
  return std::max(milliseconds{0}, std::chrono::duration_cast<milliseconds>(left));
}

// For a stage of the drain that others follow: one that cannot end leaves them some of the time.
milliseconds share_of_time_left(SteadyTime deadline) { return time_left(deadline) * 3 / 4; }

}  // namespace

Result<std::unique_ptr<AllInOne>> AllInOne::open(const config::Settings& settings) {
  std::unique_ptr<AllInOne> all(new AllInOne(settings));
  observability::add_build_info(all->metrics_);
  // The store first: its lock keeps a second instance away from everything else.
  const auto steps = {&AllInOne::open_storage, &AllInOne::open_queue, &AllInOne::open_gateway,
                      &AllInOne::open_source};
  for (const auto step : steps) {
    if (auto done = (all.get()->*step)(); !done) return done.error();
  }
  return all;
}

Result<void> AllInOne::open_storage() {
  auto store = open_store(settings_, metrics_);
  if (!store) return store.error();
  store_ = std::move(*store);
  return {};
}

Result<void> AllInOne::open_queue() {
  std::string folder = embedded_store_path(settings_);
  if (folder.empty()) folder = "gpu-telemetry-data";
  // The collector is in this process, and no lease of it outlives it.
  constexpr bool kConsumersAreLocal = true;
  auto queue = open_queue_engine(settings_, folder + "/queue", kConsumersAreLocal,
                                 pipeline_.executor(), health_);
  if (!queue) return queue.error();
  queue_ = std::move(*queue);
  return {};
}

// As for what changes something through the API: without a token only for this machine.
Result<void> AllInOne::add_queue_routes(http::Router& router) {
  if (settings_.queue_token_file.empty() && !http::is_loopback(settings_.api_host)) {
    log_info("the queue's API is not served: without QUEUE_TOKEN_FILE it is on loopback only",
             {{"api_host", settings_.api_host}});
    return {};
  }
  return add_queue_api(router, settings_, *queue_.queue);
}

Result<void> AllInOne::open_gateway() {
  auto read = gateway_options(settings_);
  if (!read) return read.error();
  ApiGatewayOptions options = std::move(*read);
  options.before_metrics = [this]() -> asio::awaitable<void> {
    const auto topics = co_await queue_.queue->statistics();
    if (topics) queue_gauges_.update(*topics);
  };
  options.pipeline.queue = queue_.queue.get();
  options.pipeline.samples_stored = [this]() -> std::optional<std::uint64_t> {
    return static_cast<std::uint64_t>(samples_stored(metrics_).Value());
  };
  options.more_routes = [this](http::Router& router) { return add_queue_routes(router); };
  auto gateway = ApiGateway::listen(std::move(options), *store_.telemetry, *store_.gpus,
                                    system_clock(), health_, metrics_);
  if (!gateway) return gateway.error();
  gateway_ = std::move(*gateway);
  return {};
}

Result<void> AllInOne::open_source() {
  auto source = services::open_source(settings_);
  if (!source) return source.error();
  const auto executor = pipeline_.executor();
  streamer_ = std::make_unique<Streamer>(streamer_options(settings_), std::move(*source),
                                         *queue_.queue, wire::batch_codec(), metrics_, executor);
  collector_ = std::make_unique<Collector>(collector_options(settings_), *queue_.queue,
                                           *store_.telemetry, *store_.gpus, wire::batch_codec(),
                                           system_clock(), metrics_, executor);
  return {};
}

void AllInOne::start(OnEnd on_end) {
  pipeline_.start();
  gateway_->start();
  collector_->start();
  streamer_->start([this, on_end = std::move(on_end)](const Result<void>& source) {
    const auto then = [on_end, source] { on_end(source); };
    concurrency::spawn(pipeline_.executor(), wait_until_stored(then));
  });
}

asio::awaitable<bool> AllInOne::queue_is_empty() {
  const auto topics = co_await queue_.queue->statistics();
  if (!topics) co_return false;
  for (const queue::TopicStatistics& topic : *topics) {
    if (topic.topic != settings_.queue_topic) continue;
    if (topic.groups.empty() && topic.messages > 0) co_return false;
    for (const queue::GroupStatistics& group : topic.groups) {
      if (group.group != settings_.consumer_group) continue;
      co_return group.ready + group.in_flight + group.delayed == 0;
    }
  }
  co_return true;
}

asio::awaitable<void> AllInOne::wait_until_stored(std::function<void()> then) {
  constexpr milliseconds kPoll{20};
  asio::steady_timer timer(pipeline_.context());
  while (true) {
    const bool empty = co_await queue_is_empty();
    if (empty) break;
    timer.expires_after(kPoll);
    co_await timer.async_wait(asio::use_awaitable);
  }
  log_info("everything that the source said is stored");
  then();
}

bool AllInOne::drain_queue(milliseconds longest) {
  auto stored = std::make_shared<std::promise<void>>();
  auto done = stored->get_future();
  concurrency::spawn(pipeline_.executor(), wait_until_stored([stored] { stored->set_value(); }));
  return done.wait_for(longest) == std::future_status::ready;
}

bool AllInOne::stop() {
  const SteadyTime deadline = system_clock().steady_now() + settings_.shutdown_grace;
  health_.start_draining();
  log_info("draining: source, queue, storage, API");
  streamer_->stop(share_of_time_left(deadline));
  // What a durable queue holds is safe where it is; what is in memory has to get out.
  bool drained = settings_.queue_engine != "memory" || drain_queue(share_of_time_left(deadline));
  drained = collector_->stop(share_of_time_left(deadline)) && drained;
  gateway_->stop(time_left(deadline));
  queue_.queue->shut_down();
  pipeline_.stop();
  const StreamerCounts counts = streamer_->counts();
  if (!drained)
    log_warn("the time to drain ran out", {{"grace", format_duration(settings_.shutdown_grace)}});
  log_info("stopped", {{"samples_published", counts.samples_published}, {"drained", drained}});
  return drained;
}

AllInOne::~AllInOne() {
  if (pipeline_.is_running()) stop();
  // The streamer and the collector first: they use the queue, in which the gateway's threads may
  // still have coroutines.
  streamer_.reset();
  collector_.reset();
  queue_ = {};
  gateway_.reset();
}

std::vector<std::pair<std::string, std::string>> AllInOne::addresses() const {
  const std::string url =
      local_url(!settings_.tls_cert_file.empty(), settings_.api_host, gateway_->port());
  return {
      {"api", url + "/api/v1/gpus"}, {"health", url + "/health"}, {"metrics", url + "/metrics"}};
}

}  // namespace gpu_telemetry::services
