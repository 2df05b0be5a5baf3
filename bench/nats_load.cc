// The load of queue_load on NATS JetStream, as its C client does it best: publishing
// asynchronously, fetching in batches, acknowledging each message without waiting for an answer.
//   nats_load URL publish MESSAGES BATCH   makes the stream "telemetry" (files) anew and fills it
//   nats_load URL consume MESSAGES BATCH
// Prints one JSON object.
#include <nats/nats.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kMessageSize = 1024;
constexpr std::int64_t kMaxPending = 4096;  // publishes that wait for their answer
constexpr std::int64_t kTimeoutMs = 30'000;

void check(natsStatus status, const char* doing) {
  if (status == NATS_OK) return;
  std::fprintf(stderr, "nats_load: %s: %s (%s)\n", doing, natsStatus_GetText(status),
               nats_GetLastError(nullptr));
  std::exit(1);
}

void make_stream(jsCtx* js) {
  js_DeleteStream(js, "telemetry", nullptr, nullptr);  // it may not be there
  jsStreamConfig stream;
  check(jsStreamConfig_Init(&stream), "stream");
  const char* subjects[] = {"telemetry"};
  stream.Name = "telemetry";
  stream.Subjects = subjects;
  stream.SubjectsLen = 1;
  stream.Storage = js_FileStorage;
  stream.Retention = js_WorkQueuePolicy;  // an acknowledged message is gone, as with ours
  check(js_AddStream(nullptr, js, &stream, nullptr, nullptr), "making the stream");
}

void publish(jsCtx* js, std::uint64_t messages) {
  const std::string payload(kMessageSize, 'x');
  for (std::uint64_t i = 0; i < messages; ++i) {
    check(js_PublishAsync(js, "telemetry", payload.data(), kMessageSize, nullptr), "publish");
  }
  jsPubOptions options;
  jsPubOptions_Init(&options);
  options.MaxWait = kTimeoutMs;
  check(js_PublishAsyncComplete(js, &options), "waiting for the answers");
}

void consume(natsConnection* connection, jsCtx* js, std::uint64_t messages, int batch) {
  jsSubOptions options;
  check(jsSubOptions_Init(&options), "subscription");
  options.Config.MaxAckPending = 100'000;
  natsSubscription* subscription = nullptr;
  check(js_PullSubscribe(&subscription, js, "telemetry", "collectors", nullptr, &options, nullptr),
        "subscribing");
  for (std::uint64_t taken = 0; taken < messages;) {
    natsMsgList list;
    check(natsSubscription_Fetch(&list, subscription, batch, kTimeoutMs, nullptr), "fetch");
    for (int i = 0; i < list.Count; ++i) check(natsMsg_Ack(list.Msgs[i], nullptr), "ack");
    taken += static_cast<std::uint64_t>(list.Count);
    natsMsgList_Destroy(&list);
  }
  check(natsConnection_FlushTimeout(connection, kTimeoutMs), "flush");
  natsSubscription_Destroy(subscription);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: nats_load URL publish|consume MESSAGES BATCH\n");
    return 2;
  }
  natsConnection* connection = nullptr;
  check(natsConnection_ConnectTo(&connection, argv[1]), "connecting");
  jsOptions options;
  check(jsOptions_Init(&options), "options");
  options.PublishAsync.MaxPending = kMaxPending;
  jsCtx* js = nullptr;
  check(natsConnection_JetStream(&js, connection, &options), "JetStream");
  const std::uint64_t messages = std::strtoull(argv[3], nullptr, 10);
  const bool publishes = std::string(argv[2]) == "publish";
  if (publishes) make_stream(js);
  const auto began = SteadyClock::now();
  if (publishes) {
    publish(js, messages);
  } else {
    consume(connection, js, messages, std::atoi(argv[4]));
  }
  const std::chrono::duration<double> seconds = SteadyClock::now() - began;
  std::printf("{\"seconds\": %.6f, \"messages\": %llu}\n", seconds.count(),
              static_cast<unsigned long long>(messages));
  jsCtx_Destroy(js);
  natsConnection_Destroy(connection);
  nats_Close();
  return 0;
}
