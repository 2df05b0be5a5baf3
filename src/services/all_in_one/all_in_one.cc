#include "services/all_in_one/all_in_one.h"

#include <prometheus/counter.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <utility>

#include "concurrency/spawn.h"
#include "concurrency/thread_name.h"
#include "observability/log.h"
#include "services/assembly/assembly.h"
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

AllInOne::AllInOne(const config::Settings& settings)
    : settings_(settings), pipeline_work_(asio::make_work_guard(pipeline_)) {}

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
  auto store = open_embedded_store(settings_, metrics_);
  if (!store) return store.error();
  store_ = std::move(*store);
  return {};
}

Result<void> AllInOne::open_queue() {
  const auto store_path = embedded_store_path(settings_);
  if (!store_path) return store_path.error();
  // The collector is in this process, and no lease of it outlives it.
  constexpr bool kConsumersAreLocal = true;
  auto queue = open_queue_engine(settings_, *store_path, kConsumersAreLocal,
                                 pipeline_.get_executor(), health_);
  if (!queue) return queue.error();
  queue_ = std::move(*queue);
  return {};
}

namespace {

// Who may ask, as the settings say. Errors: kInvalid, kNotFound, kUnavailable, naming the setting.
Result<FrontDoorOptions> front_door_options(const config::Settings& settings) {
  FrontDoorOptions options;
  auto origins = parse_cors_origins(settings.cors_origins);
  if (!origins) return origins.error().at("CORS_ORIGINS");
  options.cors_origins = std::move(*origins);
  options.rate_limit = static_cast<double>(settings.api_rate_limit);
  if (settings.api_tokens_file.empty()) return options;
  auto tokens = open_tokens_file(settings.api_tokens_file, system_clock());
  if (!tokens) return tokens.error().at("API_TOKENS_FILE");
  options.tokens = std::move(*tokens);
  return options;
}

}  // namespace

Result<void> AllInOne::open_gateway() {
  ApiGatewayOptions options;
  options.server.host = settings_.api_host;
  options.server.port = static_cast<std::uint16_t>(settings_.api_port);
  options.server.max_connections = static_cast<std::uint32_t>(settings_.api_max_connections);
  options.before_metrics = [this]() -> asio::awaitable<void> {
    const auto topics = co_await queue_->statistics();
    if (!topics) co_return;
    const std::lock_guard lock(queue_gauges_mutex_);
    queue_gauges_.update(*topics);
  };
  auto front_door = front_door_options(settings_);
  if (!front_door) return front_door.error();
  options.front_door = std::move(*front_door);
  options.pipeline.queue = queue_;
  options.pipeline.topic = settings_.queue_topic;
  options.pipeline.consumer_group = settings_.consumer_group;
  options.pipeline.samples_stored = [this]() -> std::optional<std::uint64_t> {
    return static_cast<std::uint64_t>(samples_stored(metrics_).Value());
  };
  auto gateway =
      ApiGateway::listen(std::move(options), *store_, *store_, system_clock(), health_, metrics_);
  if (!gateway) return gateway.error();
  gateway_ = std::move(*gateway);
  return {};
}

Result<void> AllInOne::open_source() {
  auto source = services::open_source(settings_);
  if (!source) return source.error();
  const auto executor = pipeline_.get_executor();
  streamer_ = std::make_unique<Streamer>(streamer_options(settings_), std::move(*source), *queue_,
                                         wire::batch_codec(), metrics_, executor);
  collector_ = std::make_unique<Collector>(collector_options(settings_), *queue_, *store_, *store_,
                                           wire::batch_codec(), system_clock(), metrics_, executor);
  return {};
}

void AllInOne::start(OnEnd on_end) {
  pipeline_thread_ = std::thread([this] {
    concurrency::name_this_thread("pipeline");
    pipeline_.run();
  });
  gateway_->start();
  collector_->start();
  streamer_->start([this, on_end = std::move(on_end)](const Result<void>& source) {
    const auto then = [on_end, source] { on_end(source); };
    concurrency::spawn(pipeline_.get_executor(), wait_until_stored(then));
  });
}

asio::awaitable<bool> AllInOne::queue_is_empty() {
  const auto topics = co_await queue_->statistics();
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
  asio::steady_timer timer(pipeline_);
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
  concurrency::spawn(pipeline_.get_executor(),
                     wait_until_stored([stored] { stored->set_value(); }));
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
  queue_->shut_down();
  pipeline_work_.reset();
  pipeline_.stop();
  pipeline_thread_.join();
  const StreamerCounts counts = streamer_->counts();
  if (!drained)
    log_warn("the time to drain ran out", {{"grace", format_duration(settings_.shutdown_grace)}});
  log_info("stopped", {{"samples_published", counts.samples_published}, {"drained", drained}});
  return drained;
}

AllInOne::~AllInOne() {
  if (pipeline_thread_.joinable()) stop();
  gateway_.reset();
  streamer_.reset();
  collector_.reset();
}

}  // namespace gpu_telemetry::services
