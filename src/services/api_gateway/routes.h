// The gateway's routes, by subject. Each adds its rows to the table; `context` outlives the router.
#pragma once

#include <string>

#include "concurrency/async_offload.h"
#include "http/router.h"
#include "services/api_gateway/api_gateway.h"

namespace gpu_telemetry::services {

Result<void> add_gpu_routes(http::Router& router, ApiContext& context);
Result<void> add_latest_routes(http::Router& router, ApiContext& context);
Result<void> add_telemetry_routes(http::Router& router, ApiContext& context);
Result<void> add_catalogue_routes(http::Router& router, ApiContext& context);
Result<void> add_fleet_latest_routes(http::Router& router, ApiContext& context);
Result<void> add_fleet_telemetry_routes(http::Router& router, ApiContext& context);
Result<void> add_pipeline_routes(http::Router& router, ApiContext& context);
Result<void> add_stream_routes(http::Router& router, ApiContext& context);

// The value of a Link header (RFC 8288): the same question, from `cursor` on.
std::string link_to_next(const http::Request& request, std::string_view cursor);

// Runs blocking work on the gateway's readers. When too many questions wait already, the answer is
// kUnavailable at once. `Work` returns a Result; name it before the co_await expression.
template <class Work>
auto read_storage(ApiContext& context, Work work)
    -> boost::asio::awaitable<std::invoke_result_t<Work&>> {
  struct Place {
    explicit Place(std::atomic<unsigned>& taken) : busy(taken), number(++taken) {}
    ~Place() { --busy; }
    std::atomic<unsigned>& busy;
    const unsigned number;
  };
  const Place place(context.busy_readers);
  if (place.number > context.max_busy_readers) {
    co_return unavailable("too many questions wait for storage: try again shortly");
  }
  co_return co_await concurrency::async_offload(context.readers, std::move(work));
}

}  // namespace gpu_telemetry::services
