// What the log's tests share: a log on a simulated file system and what comes back from it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "io/simulated_file_system.h"
#include "log/segment_log.h"

namespace gpu_telemetry::log {

class LogTest : public testing::Test {
 protected:
  using Payloads = std::vector<std::string>;

  SegmentLogOptions options() {
    SegmentLogOptions options;
    options.directory = "/log";
    options.segment_size = 64_KiB;
    options.files = files_.get();
    return options;
  }

  Result<std::unique_ptr<SegmentLog>> try_open(Payloads* replayed = nullptr) {
    if (replayed) replayed->clear();
    last_position_ = {};
    return SegmentLog::open(
        options(),
        [&](const Record& record) -> Result<void> {
          EXPECT_GT(record.position, last_position_) << "positions grow";
          last_position_ = record.position;
          if (replayed) replayed->emplace_back(record.payload);
          return {};
        },
        &report_);
  }
  std::unique_ptr<SegmentLog> open(Payloads* replayed = nullptr) {
    auto opened = try_open(replayed);
    EXPECT_TRUE(opened) << opened.error();
    return opened ? std::move(*opened) : nullptr;
  }
  Payloads replay() {
    Payloads replayed;
    open(&replayed);
    return replayed;
  }

  static Position append(SegmentLog& log, std::string_view payload,
                         Durability durability = Durability::kSync) {
    const auto position = log.append(1, payload, durability);
    EXPECT_TRUE(position) << position.error();
    return position ? *position : Position{};
  }

  // Ends the process without closing the log: what was written stays, synced or not.
  void kill(std::unique_ptr<SegmentLog> log, io::PowerCut what = io::PowerCut::kKeepAll,
            std::uint64_t seed = 1) {
    files_->cut();
    log.reset();
    files_->reboot(what, seed);
  }

  static std::string segment(int number) {
    return "/log/000000000000000" + std::to_string(number) + ".log";
  }

  std::unique_ptr<io::SimulatedFileSystem> files_ = std::make_unique<io::SimulatedFileSystem>();
  RecoveryReport report_;
  Position last_position_;
};

}  // namespace gpu_telemetry::log
