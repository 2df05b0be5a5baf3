#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <cstdio>
#include <string>

#include "commands.h"
#include "domain/time.h"
#include "http/client.h"
#include "sources/simulator/simulator.h"
#include "storage/embedded/embedded_store.h"
#include "tls/tls_context.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::app {
namespace {

namespace asio = boost::asio;

int fail(const Error& error) {
  complain(error.message);
  return kFailure;
}

}  // namespace

int run_simulate(const config::Settings& settings) {
  const auto start = parse_rfc3339(settings.simulate_start);
  if (!start) return fail(start.error().at("--start"));
  sources::SimulationFileOptions simulation;
  simulation.fleet.gpus = static_cast<std::uint32_t>(settings.simulator_gpus);
  simulation.fleet.hosts = static_cast<std::uint32_t>(settings.simulator_hosts);
  simulation.fleet.seed = settings.simulator_seed;
  simulation.fleet.interval = settings.simulator_interval;
  simulation.fleet.events = settings.simulator_events;
  simulation.duration = settings.simulate_duration;
  simulation.start = *start;
  const auto written = sources::write_simulation(simulation, settings.simulate_out);
  if (!written) return fail(written.error());
  return kSuccess;
}

int run_store_check(const config::Settings& settings) {
  storage::embedded::EmbeddedStoreOptions options;
  options.path = settings.store_path;
  options.codec = &wire::batch_codec();
  const auto report = storage::embedded::check_store(options);
  if (!report) return fail(report.error());
  for (const std::string& damage : report->damage) std::printf("damaged: %s\n", damage.c_str());
  std::printf("%llu files, %llu samples in them, %llu journal records: %s\n",
              static_cast<unsigned long long>(report->files),
              static_cast<unsigned long long>(report->samples),
              static_cast<unsigned long long>(report->journal_records),
              report->damage.empty() ? "no damage found" : "DAMAGED");
  return report->damage.empty() ? kSuccess : kFailure;
}

int run_health(const config::Settings& settings) {
  std::string_view base = settings.health_url;
  std::string target = "/";
  const std::size_t scheme = base.find("://");
  const std::size_t slash =
      scheme == std::string_view::npos ? base.npos : base.find('/', scheme + 3);
  if (slash != std::string_view::npos) {
    target = base.substr(slash);
    base = base.substr(0, slash);
  }
  asio::io_context context(1);
  http::ClientOptions options;
  options.base_url = base;
  if (!settings.tls_ca_file.empty()) {
    auto trusted = tls::TlsContext::for_client(settings.tls_ca_file, system_clock());
    if (!trusted) return fail(trusted.error().at("TLS_CA_FILE"));
    options.tls = std::move(*trusted);
  }
  const auto client = http::Client::create(options, context.get_executor());
  if (!client) return fail(client.error());
  http::ClientRequest request;
  request.target = target;
  request.timeout = std::chrono::seconds{5};
  auto answer = asio::co_spawn(context, (*client)->send(std::move(request)), asio::use_future);
  context.run();
  const auto response = answer.get();
  if (!response) return fail(response.error());
  std::printf("%s\n", response->body.c_str());
  if (response->status == 200) return kSuccess;
  complain(settings.health_url + " answered " + std::to_string(response->status));
  return kFailure;
}

}  // namespace gpu_telemetry::app
