#include "queue/durable/durable_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <optional>
#include <set>

#include "domain/clock.h"
#include "io/simulated_file_system.h"

namespace gpu_telemetry::queue {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Timestamp kStart = from_unix_milliseconds(1'760'000'000'000);

template <class T>
Async<void> keep(Async<T> work, std::optional<T>& result) {
  result.emplace(co_await std::move(work));
}

// One queue directory on one simulated disk, opened and reopened.
class Machine {
 public:
  explicit Machine(ByteSize segment_size = 64_KiB) { options_.segment_size = segment_size; }
  ~Machine() { close(); }

  Result<void> open() {
    options_.directory = "/queue";
    options_.files = &files;
    auto opened = open_durable_queue(options_, clock, context_.get_executor());
    if (!opened) return opened.error();
    queue_ = std::move(*opened);
    return {};
  }
  void close() {
    queue_.reset();
    context_.restart();
    context_.poll();
  }
  template <class T>
  Result<T> run(Async<Result<T>> work) {
    std::optional<Result<T>> result;
    co_spawn(context_, keep(std::move(work), result), boost::asio::detached);
    context_.restart();
    while (!result) context_.run_one();
    return std::move(*result);
  }
  LedgerQueue& queue() { return *queue_; }

  Result<std::vector<PublishResult>> publish(const std::vector<std::string>& payloads,
                                             const std::string& id = {}) {
    std::vector<OutgoingMessage> messages;
    for (const std::string& payload : payloads) {
      OutgoingMessage& message = messages.emplace_back();
      message.payload = std::make_shared<const std::string>(payload);
      message.headers = {{"name", payload.substr(0, 3)}};
      message.deduplication_id = id;
    }
    return run(queue().publish("t", std::move(messages)));
  }
  Result<std::vector<Delivery>> fetch(std::size_t max = 1000) {
    FetchRequest request;
    request.topic = "t";
    request.group = "collectors";
    request.max_messages = max;
    return run(queue().fetch(std::move(request)));
  }
  Result<std::vector<Settled>> ack(const std::string& receipt) {
    return run(queue().ack({"t", "collectors", {receipt}}));
  }
  Result<std::vector<Settled>> kill(const std::string& receipt, const std::string& reason) {
    NackOptions options;
    options.dead_letter_reason = reason;
    return run(queue().nack({"t", "collectors", {receipt}}, std::move(options)));
  }
  Result<std::vector<DeadLetter>> dead() {
    return run(queue().dead_letters("t", "collectors", 1000));
  }

  io::SimulatedFileSystem files;
  ManualClock clock{kStart};

 private:
  DurableQueueOptions options_;
  boost::asio::io_context context_;
  std::unique_ptr<LedgerQueue> queue_;
};

TEST(DurableQueueTest, FindsEverythingAgainAfterItWasClosed) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  const auto published = *machine.publish({"acked", "leased", "dead", "fresh", "delayed"});
  ASSERT_TRUE(machine.publish({"once"}, "id-1"));
  const auto held = *machine.fetch(5);
  ASSERT_THAT(held, SizeIs(5));
  ASSERT_THAT(*machine.ack(held[0].receipt), ElementsAre(Settled::kDone));
  ASSERT_TRUE(machine.kill(held[2].receipt, "broken"));
  NackOptions later;
  later.delay = minutes{10};
  ASSERT_TRUE(machine.run(machine.queue().nack({"t", "collectors", {held[4].receipt}}, later)));
  NackOptions release;
  release.release = true;
  ASSERT_TRUE(machine.run(machine.queue().nack({"t", "collectors", {held[3].receipt}}, release)));
  machine.close();
  machine.clock.advance(minutes{4});

  ASSERT_TRUE(machine.open());
  EXPECT_TRUE(machine.publish({"once"}, "id-1")->at(0).duplicate);
  const auto statistics = machine.run(machine.queue().statistics())->at(0);
  EXPECT_EQ(statistics.messages, 4U);
  EXPECT_EQ(statistics.groups.at(0).in_flight, 1U);
  EXPECT_EQ(statistics.groups.at(0).delayed, 1U);
  const auto letters = *machine.dead();
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(*letters[0].payload, "dead");
  EXPECT_EQ(letters[0].reason, "broken");
  EXPECT_EQ(letters[0].message_id, published[2].message_id);

  const auto more = *machine.fetch();
  ASSERT_THAT(more, SizeIs(2));
  EXPECT_EQ(*more[0].payload, "fresh");
  EXPECT_EQ(more[0].headers, (Headers{{"name", "fre"}}));
  EXPECT_EQ(more[0].published, kStart);
  EXPECT_EQ(more[0].delivery_count, 1U);
  EXPECT_NE(more[0].receipt, held[3].receipt);
  EXPECT_EQ(*more[1].payload, "once");
  machine.clock.advance(minutes{4});
  EXPECT_THAT(*machine.ack(held[1].receipt), ElementsAre(Settled::kDone))
      << "the lease keeps its receipt, and has all its time again";
  machine.clock.advance(minutes{2});
  const auto delayed = *machine.fetch();
  ASSERT_THAT(delayed, SizeIs(3)) << "the delay ended ten minutes after the nack";
}

TEST(DurableQueueTest, NeverGivesAMessageIdOutTwice) {
  Machine machine;
  std::set<std::string> ids;
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(machine.open());
    ids.insert(machine.publish({"a"})->at(0).message_id);
    if (i % 2 == 0) {
      ASSERT_TRUE(machine.ack(machine.fetch()->at(0).receipt));
    }
    machine.close();
  }
  EXPECT_EQ(ids.size(), 6U);
}

TEST(DurableQueueTest, GivesSpaceBackThoughOneMessageStaysBehind) {
  Machine machine(16_KiB);
  ASSERT_TRUE(machine.open());
  ASSERT_TRUE(machine.publish({"stuck"}));
  ASSERT_THAT(*machine.fetch(), SizeIs(1));
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(machine.publish({std::string(1000, 'x')}));
    const auto deliveries = *machine.fetch();
    for (const Delivery& each : deliveries) ASSERT_TRUE(machine.ack(each.receipt));
  }
  EXPECT_LE(machine.files.list("/queue")->size(), 6U);
  machine.close();
  ASSERT_TRUE(machine.open());
  machine.clock.advance(hours{1});
  const auto again = *machine.fetch();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(*again[0].payload, "stuck");
  EXPECT_EQ(again[0].delivery_count, 2U);
}

TEST(DurableQueueTest, AFullDiskRefusesPublishesUntilThereIsSpace) {
  Machine machine(16_KiB);
  ASSERT_TRUE(machine.open());
  machine.files.set_free_space(20 << 10);
  ErrorCode refused = ErrorCode::kInternal;
  int accepted = 0;
  for (; accepted < 100; ++accepted) {
    const auto published = machine.publish({std::string(1000, 'x')});
    if (!published) {
      refused = published.error().code;
      break;
    }
  }
  EXPECT_EQ(refused, ErrorCode::kFull);
  EXPECT_THAT(*machine.fetch(), SizeIs(accepted)) << "what was refused is not shown";
  machine.files.set_free_space(1 << 20);
  ASSERT_TRUE(machine.publish({"there is space"}));
  machine.close();
  ASSERT_TRUE(machine.open());
  machine.clock.advance(hours{1});
  EXPECT_THAT(*machine.fetch(), SizeIs(accepted + 1));
}

// What a client knows of each message it published.
struct Known {
  std::set<std::string> acknowledged;
  std::set<std::string> acked;
  std::set<std::string> killed;
};

// Publishes, fetches, acks and kills until the power fails.
void work(Machine& machine, Known& known) {
  for (int i = 0; i < 24; ++i) {
    std::vector<std::string> payloads;
    for (int k = 0; k < 3; ++k) {
      payloads.push_back(std::to_string(i * 3 + k) + ":" + std::string(700, 'x'));
    }
    if (!machine.publish(payloads)) return;
    known.acknowledged.insert(payloads.begin(), payloads.end());
    const auto deliveries = machine.fetch(2);
    if (!deliveries) return;
    for (const Delivery& each : *deliveries) {
      if (i % 5 == 4) {
        if (!machine.kill(each.receipt, "because")) return;
        known.killed.insert(*each.payload);
      } else if (machine.ack(each.receipt)) {
        known.acked.insert(*each.payload);
      }
    }
  }
}

void expect_nothing_lost(Machine& machine, const Known& known, const std::string& where) {
  machine.clock.advance(hours{1});
  std::multiset<std::string> found;
  const auto deliveries = machine.fetch();
  ASSERT_TRUE(deliveries) << where;
  for (const Delivery& each : *deliveries) found.insert(*each.payload);
  const auto letters = machine.dead();
  ASSERT_TRUE(letters) << where;
  std::set<std::string> dead;
  for (const DeadLetter& each : *letters) {
    found.insert(*each.payload);
    dead.insert(*each.payload);
  }
  for (const std::string& payload : known.acknowledged) {
    const std::size_t copies = found.count(payload);
    ASSERT_LE(copies, 1U) << where << ": twice: " << payload.substr(0, 4);
    if (known.acked.count(payload) == 0) {
      ASSERT_EQ(copies, 1U) << where << ": lost: " << payload.substr(0, 4);
    }
  }
  for (const std::string& payload : known.killed) {
    ASSERT_EQ(dead.count(payload), 1U) << where << ": no longer dead: " << payload.substr(0, 4);
  }
}

TEST(DurableQueueTest, LosesNothingAcknowledgedWheneverThePowerFails) {
  for (const auto how :
       {io::PowerCut::kDropUnsynced, io::PowerCut::kKeepAll, io::PowerCut::kTearSectors}) {
    for (std::uint64_t operation = 1;; ++operation) {
      Machine machine(16_KiB);
      const std::string where =
          "cut at " + std::to_string(operation) + ", kind " + std::to_string(static_cast<int>(how));
      machine.files.cut_at(operation);
      Known known;
      if (machine.open()) work(machine, known);
      const bool was_cut = machine.files.is_off();
      machine.close();
      machine.files.reboot(how, operation);
      ASSERT_TRUE(machine.open()) << where;
      expect_nothing_lost(machine, known, where);
      if (::testing::Test::HasFatalFailure()) return;
      if (!was_cut) break;
    }
  }
}

}  // namespace
}  // namespace gpu_telemetry::queue
