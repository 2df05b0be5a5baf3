// What the durable queue remembers of how readers share a source.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "queue/durable/durable_machine.h"

namespace gpu_telemetry::queue {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::SizeIs;

ShardRequest ask(std::string member) {
  ShardRequest request;
  request.topic = "t";
  request.source = "fleet";
  request.member = std::move(member);
  return request;
}

Result<ShardAssignment> join(Machine& machine, std::string member) {
  return machine.run(machine.queue().shards(ask(std::move(member))));
}

Async<Result<std::vector<PublishResult>>> publish(Machine& machine, const std::string& member,
                                                  const std::vector<std::string>& rows,
                                                  std::vector<ShardStep> steps) {
  std::vector<OutgoingMessage> messages;
  for (const std::string& row : rows) {
    OutgoingMessage& message = messages.emplace_back();
    message.payload = std::make_shared<const std::string>(row);
  }
  return machine.queue().publish("t", std::move(messages),
                                 ShardProgress{"fleet", member, std::move(steps)});
}

ShardStep step(const ShardLease& lease, std::uint64_t to, bool finished = false) {
  return {lease.shard, lease.fence, lease.position, to, finished};
}

std::vector<std::string> stored(Machine& machine) {
  std::vector<std::string> rows;
  for (const Delivery& each : *machine.fetch()) rows.push_back(*each.payload);
  return rows;
}

TEST(DurableShardsTest, PositionsMembersAndLeasesAreThereAfterReopening) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  const auto before = *join(machine, "a");
  ASSERT_TRUE(machine.run(
      publish(machine, "a", {"x"}, {step(before.held[3], 7), step(before.held[4], 9, true)})));
  machine.close();
  machine.clock.advance(seconds{60});  // while nobody could renew
  ASSERT_TRUE(machine.open());
  // Its whole ttl again: the lease still counts, and who is new waits for it.
  EXPECT_THAT(join(machine, "b")->held, SizeIs(0));
  const auto after = *join(machine, "a");
  ASSERT_EQ(after.held.size(), kShards);
  EXPECT_EQ(after.held[3].position, 7U);
  EXPECT_EQ(after.held[3].fence, before.held[3].fence);
  EXPECT_TRUE(after.held[4].finished);
  EXPECT_THAT(stored(machine), ElementsAre("x"));
}

TEST(DurableShardsTest, AForgottenBoardStaysForgotten) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  std::vector<ShardStep> steps;
  const auto joined = *join(machine, "a");
  for (const ShardLease& lease : joined.held) steps.push_back(step(lease, 5, true));
  ASSERT_TRUE(machine.run(publish(machine, "a", {"x"}, steps)));
  ShardRequest leave = ask("a");
  leave.leave = true;
  EXPECT_TRUE(machine.run(machine.queue().shards(leave))->finished);
  machine.close();
  ASSERT_TRUE(machine.open());
  EXPECT_EQ(join(machine, "a")->held[0].position, 0U);
}

TEST(DurableShardsTest, NothingHasMovedWhenStoringFails) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  const ShardLease lease = join(machine, "a")->held[0];
  machine.files.set_free_space(0);
  const std::string large(30'000, 'x');  // three of them need another segment
  const auto refused =
      machine.run(publish(machine, "a", {large, large, large}, {step(lease, 5, true)}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFull);
  machine.files.set_free_space(1'000'000);
  const auto now = *join(machine, "a");
  EXPECT_EQ(now.held[0].position, 0U);
  EXPECT_FALSE(now.held[0].finished);
  ASSERT_TRUE(machine.run(publish(machine, "a", {"y"}, {step(lease, 5)})));
  EXPECT_THAT(stored(machine), ElementsAre("y"));
}

TEST(DurableShardsTest, ARepetitionIsNotAnsweredBeforeTheFirstIsStored) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  const ShardLease lease = join(machine, "a")->held[0];
  HeldSync sync(machine.files);
  std::optional<Result<std::vector<PublishResult>>> first;
  machine.begin(publish(machine, "a", {"x"}, {step(lease, 5)}), first);
  sync.wait_until_reached();
  const auto early = machine.run(publish(machine, "a", {"x"}, {step(lease, 5)}));
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, ErrorCode::kUnavailable);
  sync.let_go_on();
  machine.finish(first);
  ASSERT_TRUE(*first);
  const auto late = machine.run(publish(machine, "a", {"x"}, {step(lease, 5)}));
  ASSERT_TRUE(late) << late.error();
  EXPECT_TRUE((*late)[0].duplicate);
  EXPECT_THAT(stored(machine), ElementsAre("x"));
}

// Whoever hears that all is finished stops reading for good.
TEST(DurableShardsTest, ASourceIsNotFinishedBeforeItsLastRowsAreStored) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  std::vector<ShardStep> steps;
  const auto joined = *join(machine, "a");
  for (const ShardLease& lease : joined.held) steps.push_back(step(lease, 5, true));
  HeldSync sync(machine.files);
  std::optional<Result<std::vector<PublishResult>>> last;
  machine.begin(publish(machine, "a", {"x"}, steps), last);
  sync.wait_until_reached();
  const bool early = join(machine, "b")->finished;
  sync.let_go_on();
  machine.finish(last);
  ASSERT_TRUE(*last);
  EXPECT_FALSE(early);
  EXPECT_TRUE(join(machine, "b")->finished);
}

// A reader that goes on until everything is published or the power fails, and after that from where
// the queue says it was.
void read_on(Machine& machine, std::uint64_t rows, std::size_t row_size) {
  constexpr std::uint32_t kRead = 3;  // shards; the others stay at their beginning
  const auto joined = join(machine, "a");
  if (!joined) return;
  std::vector<ShardLease> leases(joined->held.begin(), joined->held.begin() + kRead);
  for (bool more = true; more;) {
    more = false;
    std::vector<std::string> messages;
    std::vector<ShardStep> steps;
    for (ShardLease& lease : leases) {
      if (lease.position == rows) continue;
      more = true;
      std::string row = std::to_string(lease.shard) + ":" + std::to_string(lease.position) + " ";
      row.resize(row_size, '.');
      messages.push_back(std::move(row));
      steps.push_back(step(lease, lease.position + 1, lease.position + 1 == rows));
    }
    if (!more) return;
    if (!machine.run(publish(machine, "a", messages, steps))) return;
    for (ShardLease& lease : leases) lease.position = std::min(rows, lease.position + 1);
  }
}

TEST(DurableShardsTest, NoRowIsLostOrDoubledWheneverThePowerFails) {
  constexpr std::uint64_t kRows = 6;
  for (const auto how :
       {io::PowerCut::kDropUnsynced, io::PowerCut::kKeepAll, io::PowerCut::kTearSectors}) {
    for (const std::size_t row_size : {std::size_t{40}, std::size_t{3000}}) {
      for (std::uint64_t operation = 1;; ++operation) {
        SCOPED_TRACE("cut at " + std::to_string(operation) + ", kind " +
                     std::to_string(static_cast<int>(how)) + ", rows of " +
                     std::to_string(row_size));
        Machine machine(16_KiB);
        machine.files.cut_at(operation);
        if (machine.open()) read_on(machine, kRows, row_size);
        const bool was_cut = machine.files.is_off();
        machine.close();
        machine.files.reboot(how, operation);
        ASSERT_TRUE(machine.open());
        read_on(machine, kRows, row_size);
        std::map<std::string, int> times;
        for (const std::string& row : stored(machine)) ++times[row.substr(0, row.find(' '))];
        ASSERT_EQ(times.size(), 3 * kRows);
        for (const auto& [row, count] : times) ASSERT_EQ(count, 1) << row;
        if (!was_cut) break;
      }
    }
  }
}

}  // namespace
}  // namespace gpu_telemetry::queue
