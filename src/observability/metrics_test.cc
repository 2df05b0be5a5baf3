#include "observability/metrics.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "observability/build_info.h"

namespace gpu_telemetry::observability {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The value on the line that starts with `series`; fails the test when there is none.
double value_of(const std::string& text, const std::string& series) {
  const std::size_t at = ("\n" + text).find("\n" + series + " ");
  if (at == std::string::npos) {
    ADD_FAILURE() << "no series " << series << " in\n" << text;
    return 0;
  }
  return std::stod(text.substr(at + series.size() + 1));
}

TEST(Metrics, AreWrittenInThePrometheusTextFormat) {
  Metrics metrics;
  metrics.counter("rows_total", "Rows read.", {{"result", "ok"}}).Increment(3);
  metrics.gauge("depth", "Messages waiting.").Set(1.5);
  metrics.histogram("wait_seconds", "Time waited.", {0.1, 1}).Observe(0.5);
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("# HELP rows_total Rows read.\n# TYPE rows_total counter\n"));
  EXPECT_EQ(value_of(text, "rows_total{result=\"ok\"}"), 3);
  EXPECT_EQ(value_of(text, "depth"), 1.5);
  EXPECT_EQ(value_of(text, "wait_seconds_bucket{le=\"0.1\"}"), 0);
  EXPECT_EQ(value_of(text, "wait_seconds_bucket{le=\"1\"}"), 1);
  EXPECT_EQ(value_of(text, "wait_seconds_bucket{le=\"+Inf\"}"), 1);
  EXPECT_EQ(value_of(text, "wait_seconds_sum"), 0.5);
}

TEST(Metrics, OneNameAndLabelsIsOneObject) {
  Metrics metrics;
  EXPECT_EQ(&metrics.counter("a_total", "A."), &metrics.counter("a_total", "A."));
  EXPECT_NE(&metrics.counter("a_total", "A.", {{"l", "1"}}),
            &metrics.counter("a_total", "A.", {{"l", "2"}}));
  EXPECT_EQ(&metrics.histogram("h", "H.", latency_buckets()),
            &metrics.histogram("h", "H.", latency_buckets()));
}

TEST(Metrics, EscapeLabelValues) {
  Metrics metrics;
  metrics.gauge("g", "G.", {{"path", "a\"b\\c\nd"}}).Set(1);
  EXPECT_THAT(metrics.render(), HasSubstr(R"(g{path="a\"b\\c\nd"} 1)"));
}

TEST(Metrics, SamplersRunBeforeTheTextIsMadeAndEndWithTheirHandle) {
  Metrics metrics;
  prometheus::Gauge& gauge = metrics.gauge("g", "G.");
  int runs = 0;
  auto handle = metrics.on_collect([&] { gauge.Set(++runs); });
  EXPECT_EQ(value_of(metrics.render(), "g"), 1);
  EXPECT_EQ(value_of(metrics.render(), "g"), 2);
  handle.reset();
  EXPECT_EQ(value_of(metrics.render(), "g"), 2);
}

TEST(Metrics, AHandleMayOutliveThem) {
  auto metrics = std::make_unique<Metrics>();
  auto handle = metrics->on_collect([] {});
  metrics.reset();
  handle.reset();
}

TEST(Metrics, DestroyingAHandleWaitsForTheSamplerThatRuns) {
  Metrics metrics;
  std::atomic<bool> running = false;
  std::atomic<bool> finish = false;
  std::atomic<bool> finished = false;
  auto handle = metrics.on_collect([&] {
    running = true;
    running.notify_one();
    finish.wait(false);
    finished = true;
  });
  std::jthread reader([&] { metrics.render(); });
  running.wait(false);
  std::jthread releaser([&] {
    finish = true;
    finish.notify_one();
  });
  handle.reset();
  EXPECT_TRUE(finished);
}

TEST(Metrics, SayWhatTheProcessUses) {
  Metrics metrics;
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::string with_file = metrics.render();
  ::close(file);
  const std::string without_file = metrics.render();
  EXPECT_EQ(value_of(with_file, "process_open_fds"),
            value_of(without_file, "process_open_fds") + 1);
  EXPECT_GT(value_of(with_file, "process_max_fds"), value_of(with_file, "process_open_fds"));
  EXPECT_GT(value_of(with_file, "process_resident_memory_bytes"), 1e5);
  EXPECT_GT(value_of(with_file, "process_virtual_memory_bytes"),
            value_of(with_file, "process_resident_memory_bytes"));
  EXPECT_GE(value_of(with_file, "process_cpu_seconds_total"), 0);
  EXPECT_THAT(with_file, HasSubstr("# TYPE process_cpu_seconds_total counter\n"));
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_LT(value_of(with_file, "process_start_time_seconds"), now + 2);
  EXPECT_GT(value_of(with_file, "process_start_time_seconds"), now - 3600);
}

TEST(Metrics, SayWhatTheBinaryWasBuiltFrom) {
  Metrics metrics;
  EXPECT_THAT(metrics.render(), Not(HasSubstr("gpu_telemetry_build_info")));
  add_build_info(metrics);
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("gpu_telemetry_build_info{"));
  EXPECT_THAT(text, HasSubstr("version=\"" + std::string(build_info().version) + "\""));
  EXPECT_FALSE(build_info().revision.empty());
  EXPECT_FALSE(build_info().compiler.empty());
}

}  // namespace
}  // namespace gpu_telemetry::observability
