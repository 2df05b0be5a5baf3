// The parts of a request's way through the server, and the whole way over a loopback connection.
#include <benchmark/benchmark.h>

#include <string>

#include "http/chunk_decoder.h"
#include "http/head_parser.h"
#include "http/raw_connection.h"
#include "http/response_head.h"
#include "http/router.h"
#include "http/server.h"

namespace gpu_telemetry::http {
namespace {

constexpr std::string_view kRequest =
    "GET /api/v1/gpus/GPU-5fd4f087-86f3-7a43-b711-4771313afc50/telemetry?limit=100 HTTP/1.1\r\n"
    "Host: localhost:8080\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n";

boost::asio::awaitable<Response> answer(Request&) {
  co_return json_response(200, R"({"status":"ok"})");
}

Router make_router() {
  Router router;
  for (const char* pattern : {"/health", "/metrics", "/api/v1/gpus", "/api/v1/gpus/{uuid}",
                              "/api/v1/gpus/{uuid}/telemetry", "/api/v1/queue/fetch"}) {
    Route route;
    route.pattern = pattern;
    route.handler = answer;
    if (!router.add(std::move(route))) std::abort();
  }
  return router;
}

void parse_head(benchmark::State& state) {
  HeadScanner scanner{HeadLimits{}};
  for (auto _ : state) {
    scanner.reset();
    RequestLine line;
    Headers headers;
    Framing framing;
    benchmark::DoNotOptimize(scanner.scan(kRequest));
    const std::string_view head = kRequest.substr(0, scanner.head_size());
    benchmark::DoNotOptimize(
        parse_request_line(head.substr(0, scanner.first_line_size() - 2), line));
    benchmark::DoNotOptimize(
        parse_fields(head.substr(scanner.first_line_size()), 128, headers, framing));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kRequest.size()));
}
BENCHMARK(parse_head);

void match_route(benchmark::State& state) {
  const Router router = make_router();
  Request request;
  request.path = "/api/v1/gpus/GPU-5fd4f087-86f3-7a43-b711-4771313afc50/telemetry";
  for (auto _ : state) benchmark::DoNotOptimize(router.match(request));
}
BENCHMARK(match_route);

void decode_chunks(benchmark::State& state) {
  const std::string bytes = "4000\r\n" + std::string(0x4000, 'x') + "\r\n0\r\n\r\n";
  std::string body;
  for (auto _ : state) {
    ChunkDecoder decoder(1 << 20);
    std::size_t consumed = 0;
    body.clear();
    benchmark::DoNotOptimize(decoder.decode(bytes, body, consumed));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(decode_chunks);

void write_head(benchmark::State& state) {
  const Response response = json_response(200, R"({"status":"ok"})");
  ResponseFraming framing;
  framing.content_length = response.body.size();
  framing.date = "Sun, 06 Nov 1994 08:49:37 GMT";
  framing.request_id = "0123456789abcdef";
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_head(out, response, framing);
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(write_head);

// `range` requests in one write, then as many answers read: one shows the round trip, many the
// server's own work.
void round_trip(benchmark::State& state) {
  ServerOptions options;
  options.port = 0;
  options.threads = 1;
  options.log_requests = false;
  auto server = *Server::listen(options, make_router());
  server->start();
  RawConnection connection(server->port());
  std::string requests;
  for (std::int64_t i = 0; i < state.range(0); ++i) requests += kRequest;
  for (auto _ : state) {
    if (!connection.send(requests)) state.SkipWithError("cannot send");
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      if (connection.answer().status != 200) state.SkipWithError("no answer");
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(round_trip)->Arg(1)->Arg(64)->UseRealTime();

}  // namespace
}  // namespace gpu_telemetry::http
