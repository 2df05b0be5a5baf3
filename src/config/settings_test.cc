#include "config/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace gpu_telemetry::config {
namespace {

using ::testing::HasSubstr;

using Variables = std::map<std::string, std::string, std::less<>>;

Result<CommandLine> parse(std::vector<std::string> arguments, Variables variables = {},
                          Command command = kAllInOne) {
  const auto environment = [&](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  bool wrong_usage = false;
  auto line = parse_settings(command, arguments, environment, wrong_usage);
  if (!line) {
    EXPECT_EQ(wrong_usage, line.error().message.find("--") != std::string::npos);
  }
  return line;
}

TEST(Settings, HaveTheDefaultsOfTheTableWhenNothingIsGiven) {
  const auto line = parse({});
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.api_port, 8080u);
  EXPECT_EQ(line->settings.stream_interval, std::chrono::milliseconds{100});
  EXPECT_EQ(line->settings.streamer_batch_size, 100u);
  EXPECT_EQ(line->settings.collector_batch_size, 64u);
  EXPECT_EQ(line->settings.buffer_bytes, 128_MiB);
  EXPECT_EQ(line->settings.retention, std::chrono::days{30});
  EXPECT_TRUE(line->settings.loop_mode);
  EXPECT_FALSE(line->settings.is_given("API_PORT"));
}

TEST(Settings, AFlagWinsOverItsVariable) {
  const auto line = parse({"--api-port=9000"}, {{"API_PORT", "7000"}, {"LOG_LEVEL", "debug"}});
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.api_port, 9000u);
  EXPECT_EQ(line->settings.log_level, "debug");
  EXPECT_TRUE(line->settings.is_given("API_PORT"));
}

TEST(Settings, BatchSizeIsTheStreamersAndTheLongerNameIsMoreSpecific) {
  auto line = parse({}, {{"BATCH_SIZE", "500"}});
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.streamer_batch_size, 500u);
  EXPECT_EQ(line->settings.collector_batch_size, 64u);
  line = parse({}, {{"BATCH_SIZE", "500"}, {"STREAMER_BATCH_SIZE", "7"}});
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.streamer_batch_size, 7u);
}

TEST(Settings, AnUnacceptableValueNamesTheVariableAndTheAcceptedForm) {
  auto line = parse({}, {{"STREAM_INTERVAL", "fast"}});
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(line.error().message, HasSubstr("STREAM_INTERVAL='fast'"));
  EXPECT_THAT(line.error().message, HasSubstr("a duration such as"));
  line = parse({"--api-port", "65536"});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("--api-port='65536'"));
  EXPECT_THAT(line.error().message, HasSubstr("0..65535"));
  line = parse({}, {{"SOURCE", "kafka"}});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("csv|simulator"));
  line = parse({}, {{"BATCH_SIZE", "-1"}});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("BATCH_SIZE='-1'"));
}

TEST(Settings, AnUnknownFlagIsRefusedAndAnUnknownVariableIgnored) {
  auto line = parse({"--api-prot", "1"});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("unknown flag --api-prot"));
  EXPECT_THAT(line.error().message, HasSubstr("--api-host"));
  EXPECT_TRUE(parse({}, {{"API_PROT", "1"}}));
  line = parse({"extra"});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("unexpected argument 'extra' (see --help)"));
}

TEST(Settings, AFlagWithoutItsValueSaysWhatIsMissing) {
  const auto line = parse({"--csv-path"});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("--csv-path needs a value"));
}

TEST(Settings, ASwitchNeedsNoValue) {
  const auto line = parse({"--exit-at-end", "--loop-mode=false"});
  ASSERT_TRUE(line) << line.error();
  EXPECT_TRUE(line->settings.exit_at_end);
  EXPECT_FALSE(line->settings.loop_mode);
}

TEST(Settings, AnExplicitCsvPathMeansTheCsvSource) {
  auto line = parse({}, {{"CSV_PATH", "/tmp/a.csv"}});
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.source, "csv");
  line = parse({}, {{"CSV_PATH", "/tmp/a.csv"}, {"SOURCE", "simulator"}});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("contradicts"));
}

TEST(Settings, ALeaseOfShardsOutlastsHowFarStampsAreAhead) {
  const auto line = parse({}, {}, kStreamer);
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.shard_lease, std::chrono::seconds{15});
  EXPECT_TRUE(parse({"--shard-lease", "2s"}, {}, kStreamer));
  for (const char* lease : {"1999ms", "2h"}) {
    const auto refused = parse({}, {{"SHARD_LEASE", lease}}, kStreamer);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("2s to 1h"));
  }
}

TEST(Settings, AShardMustBeOneOfTheCount) {
  const auto line = parse({"--shard-index", "2", "--shard-count", "2"});
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("SHARD_INDEX=2"));
}

TEST(Settings, LeasesLastNoLongerThanTheQueueExtendsThem) {
  for (const std::string text : {"0", "999ms", "25h"}) {
    const auto line = parse({"--visibility-timeout", text});
    ASSERT_FALSE(line) << text;
    EXPECT_THAT(line.error().message, HasSubstr("expected 1s to 24h"));
  }
  EXPECT_TRUE(parse({"--visibility-timeout", "24h"}));
}

TEST(Settings, ServicesHaveDefaultsOfTheirOwn) {
  auto line = parse({}, {}, kCollector);
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.collector_batch_size, 1u);
  EXPECT_EQ(line->settings.storage_uri, "mongodb://mongodb:27017");
  EXPECT_EQ(line->settings.queue_service_url, "http://queue-service:8080");
  line = parse({}, {}, kApiGateway);
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.queue_service_url, "");
  line = parse({}, {}, kQueueService);
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.queue_data_dir, "gpu-telemetry-queue");
  EXPECT_EQ(line->settings.queue_port, 8080u);
}

TEST(Settings, StorageUriBeatsMongodbUriWhichBeatsTheDefault) {
  const Variables both = {{"STORAGE_URI", "mongodb://a"}, {"MONGODB_URI", "mongodb://b"}};
  EXPECT_EQ(parse({}, both)->settings.storage_uri, "mongodb://a");
  EXPECT_EQ(parse({}, {{"MONGODB_URI", "mongodb://b"}})->settings.storage_uri, "mongodb://b");
  EXPECT_EQ(parse({})->settings.storage_uri, "embedded:gpu-telemetry-data");
}

TEST(Settings, TheEmbeddedStoreIsRefusedWhereProcessesShareOne) {
  for (const Command command : {kCollector, kApiGateway}) {
    const auto line = parse({}, {{"STORAGE_URI", "embedded:/data"}}, command);
    ASSERT_FALSE(line);
    EXPECT_THAT(line.error().message, HasSubstr("STORAGE_URI='embedded:/data'"));
    EXPECT_THAT(line.error().message, HasSubstr("belongs to one process"));
  }
}

TEST(Settings, WhatContradictsItselfIsRefused) {
  const std::pair<Command, Variables> wrong[] = {
      {kQueueService, {{"REDIS_PASSWORD", "a"}, {"REDIS_PASSWORD_FILE", "/b"}}},
      {kCollector, {{"MONGODB_URI", "mongodb://a"}, {"MONGODB_URI_FILE", "/b"}}},
      {kApiGateway, {{"TLS_CERT_FILE", "/cert.pem"}}},
      {kStreamer, {{"TLS_KEY_FILE", "/key.pem"}}},
  };
  for (const auto& [command, variables] : wrong) {
    const auto line = parse({}, variables, command);
    ASSERT_FALSE(line) << variables.begin()->first;
    EXPECT_THAT(line.error().message, HasSubstr(variables.begin()->first));
  }
}

TEST(Settings, SimulateHasShortNamesForItsFleet) {
  const auto line =
      parse({"--gpus", "8", "--hosts", "2", "--seed", "9", "--interval", "5s"}, {}, kSimulate);
  ASSERT_TRUE(line) << line.error();
  EXPECT_EQ(line->settings.simulator_gpus, 8u);
  EXPECT_EQ(line->settings.simulator_hosts, 2u);
  EXPECT_EQ(line->settings.simulator_seed, 9u);
  EXPECT_EQ(line->settings.simulator_interval, std::chrono::seconds{5});
  EXPECT_FALSE(parse({"--gpus", "8"}));
}

TEST(Settings, HelpNamesEverySettingWithItsVariableDefaultAndForm) {
  const std::string text = help_text(kAllInOne, "gpu-telemetry all-in-one", "All of it.");
  for (const Option& option : option_table()) {
    if ((option.commands & kAllInOne) == 0) continue;
    EXPECT_THAT(text, HasSubstr(std::string(option.variable)));
    EXPECT_THAT(text, HasSubstr(std::string(option.help)));
  }
  EXPECT_THAT(text, HasSubstr("default 8080"));
}

TEST(Settings, NoTwoSettingsOfACommandShareAName) {
  for (const Command command : {kAllInOne, kSimulate, kStoreCheck, kHealth}) {
    std::set<std::string_view> names;
    for (const Option& option : option_table()) {
      if ((option.commands & command) == 0) continue;
      EXPECT_TRUE(names.insert(option.flag).second) << option.flag;
      if (!option.variable.empty()) {
        EXPECT_TRUE(names.insert(option.variable).second) << option.variable;
      }
      if ((option.short_commands & command) == 0) continue;
      EXPECT_TRUE(names.insert(option.short_flag).second) << option.short_flag;
    }
  }
}

}  // namespace
}  // namespace gpu_telemetry::config
