#include "services/all_in_one/all_in_one.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <utility>

#include "concurrency/thread_name.h"
#include "observability/log.h"
#include "queue/durable/durable_queue.h"
#include "queue/memory/memory_queue.h"
#include "sources/csv/csv_source.h"
#include "sources/simulator/simulator.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;
using observability::log_info;
using observability::log_warn;
using std::chrono::milliseconds;
namespace {

constexpr std::string_view kEmbeddedScheme = "embedded:";

queue::QueueOptions queue_options(const config::Settings& settings) {
  queue::QueueOptions options;
  options.visibility_timeout = settings.visibility_timeout;
  options.max_retries = static_cast<std::uint32_t>(settings.max_retries);
  options.max_messages_per_topic = settings.buffer_size;
  options.max_bytes = settings.buffer_bytes;
  options.permanent_groups = {"collectors", settings.consumer_group};
  return options;
}

milliseconds time_left(SteadyTime deadline) {
  const auto left = deadline - system_clock().steady_now();
  return std::max(milliseconds{0}, std::chrono::duration_cast<milliseconds>(left));
}

void log_damage(std::string_view message, const std::vector<std::string>& damage) {
  for (const std::string& each : damage) {
    observability::log_error(message, {{"damage", each}});
  }
}

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
  const std::string_view uri = settings_.storage_uri;
  if (!uri.starts_with(kEmbeddedScheme) || uri.size() == kEmbeddedScheme.size()) {
    return invalid("STORAGE_URI='" + std::string(uri) +
                   "' is not acceptable: all-in-one stores in embedded:PATH");
  }
  storage::embedded::EmbeddedStoreOptions options;
  options.path = uri.substr(kEmbeddedScheme.size());
  options.codec = &wire::batch_codec();
  options.retention = settings_.retention;
  options.metrics = &metrics_;
  storage::embedded::OpenReport report;
  auto store = storage::embedded::EmbeddedStore::open(options, &report);
  if (!store) return store.error();
  store_ = std::move(*store);
  log_damage("the store is damaged", report.damage);
  log_info("store open", {{"path", options.path},
                          {"files", report.files},
                          {"journal_batches", report.journal_batches},
                          {"torn_tail_bytes", report.torn_tail_bytes}});
  return {};
}

Result<void> AllInOne::open_queue() {
  if (settings_.queue_engine == "memory") {
    queue_ = queue::make_memory_queue(queue_options(settings_), system_clock(),
                                      pipeline_.get_executor());
    log_warn("QUEUE_ENGINE=memory: messages that wait in the queue are lost with the process");
    return {};
  }
  queue::DurableQueueOptions options;
  options.queue = queue_options(settings_);
  options.directory = settings_.queue_data_dir;
  if (options.directory.empty()) {
    options.directory = settings_.storage_uri.substr(kEmbeddedScheme.size()) + "/queue";
  }
  auto opened = queue::open_durable_queue(options, system_clock(), pipeline_.get_executor());
  if (!opened) return opened.error();
  queue_ = std::move(*opened);
  return {};
}

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
  auto gateway =
      ApiGateway::listen(std::move(options), *store_, *store_, system_clock(), health_, metrics_);
  if (!gateway) return gateway.error();
  gateway_ = std::move(*gateway);
  return {};
}

Result<void> AllInOne::open_source() {
  sources::Shard shard;
  shard.index = static_cast<std::uint32_t>(settings_.shard_index);
  shard.count = static_cast<std::uint32_t>(settings_.shard_count);
  StreamerOptions options;
  options.topic = settings_.queue_topic;
  options.batch_rows = settings_.streamer_batch_size;
  options.interval = settings_.stream_interval;
  std::unique_ptr<sources::Source> source;
  if (settings_.source == "simulator") {
    sources::SimulatorOptions simulator;
    simulator.gpus = static_cast<std::uint32_t>(settings_.simulator_gpus);
    simulator.hosts = static_cast<std::uint32_t>(settings_.simulator_hosts);
    simulator.seed = settings_.simulator_seed;
    simulator.interval = settings_.simulator_interval;
    simulator.events = settings_.simulator_events;
    auto made = sources::make_simulator_source(simulator, system_clock(), shard);
    if (!made) return made.error();
    source = std::move(*made);
    options.interval = milliseconds{0};  // the simulator keeps its own pace
  } else {
    sources::CsvSourceOptions csv;
    csv.path = settings_.csv_path;
    csv.loop = settings_.loop_mode;
    csv.timestamp_mode = settings_.timestamp_mode == "now" ? sources::TimestampMode::kNow
                                                           : sources::TimestampMode::kSource;
    csv.shard = shard;
    auto opened = sources::open_csv_source(csv);
    if (!opened && !settings_.is_given("CSV_PATH")) {
      // Somebody who has just started the program and chosen nothing.
      Error error = opened.error();
      error.message += "; choose a file with CSV_PATH, or SOURCE=simulator for an invented fleet";
      return error;
    }
    if (!opened) return opened.error();
    source = std::move(*opened);
  }
  streamer_ = std::make_unique<Streamer>(options, std::move(source), *queue_, wire::batch_codec(),
                                         metrics_, pipeline_.get_executor());
  CollectorOptions collector;
  collector.topic = settings_.queue_topic;
  collector.group = settings_.consumer_group;
  collector.batch_messages = settings_.collector_batch_size;
  collector.max_concurrent_writes = settings_.max_concurrent_handlers;
  collector.visibility_timeout = settings_.visibility_timeout;
  collector_ =
      std::make_unique<Collector>(collector, *queue_, *store_, *store_, wire::batch_codec(),
                                  system_clock(), metrics_, pipeline_.get_executor());
  return {};
}

void AllInOne::start(std::function<void()> on_end) {
  pipeline_thread_ = std::thread([this] {
    concurrency::name_this_thread("pipeline");
    pipeline_.run();
  });
  gateway_->start();
  collector_->start();
  streamer_->start([this, on_end = std::move(on_end)](const Result<void>&) {
    asio::co_spawn(pipeline_, wait_until_stored(on_end), asio::detached);
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

bool AllInOne::drain_queue(SteadyTime deadline) {
  auto stored = std::make_shared<std::promise<void>>();
  auto done = stored->get_future();
  asio::co_spawn(pipeline_, wait_until_stored([stored] { stored->set_value(); }), asio::detached);
  return done.wait_for(time_left(deadline)) == std::future_status::ready;
}

bool AllInOne::stop() {
  const SteadyTime deadline = system_clock().steady_now() + settings_.shutdown_grace;
  health_.start_draining();
  log_info("draining: source, queue, storage, API");
  streamer_->stop(time_left(deadline));
  // What a durable queue holds is safe where it is; what is in memory has to get out.
  bool drained = settings_.queue_engine != "memory" || drain_queue(deadline);
  drained = collector_->stop(time_left(deadline)) && drained;
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
