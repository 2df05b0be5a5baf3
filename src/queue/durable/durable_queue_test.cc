#include "queue/durable/durable_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "queue/durable/durable_machine.h"

namespace gpu_telemetry::queue {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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

TEST(DurableQueueTest, HandsBackTheLeasesOfConsumersThatDiedWithTheProcess) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  ASSERT_TRUE(machine.publish({"a", "b", "c"}));
  const auto held = *machine.fetch(3);
  ASSERT_THAT(held, SizeIs(3));
  ASSERT_THAT(*machine.ack(held[1].receipt), ElementsAre(Settled::kDone));
  machine.close();

  // More ends than a message has retries: they do not count.
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(machine.open(true));
    const auto again = *machine.fetch(3);
    ASSERT_THAT(again, SizeIs(2));
    EXPECT_EQ(*again[0].payload, "a");
    EXPECT_EQ(*again[1].payload, "c");
    EXPECT_EQ(again[0].delivery_count, 1U);
    EXPECT_THAT(*machine.ack(held[0].receipt), ElementsAre(Settled::kUnknown));
    machine.close();
  }
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

TEST(DurableQueueTest, AFailedSyncMakesTheProcessUnreadyAndWhatIsHeldIsDelivered) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  ASSERT_THAT(*machine.fetch(), IsEmpty());
  ASSERT_TRUE(machine.publish({"safe"}));
  EXPECT_TRUE(machine.health.ready());
  machine.files.fail_sync(1);
  EXPECT_FALSE(machine.publish({"lost"}));
  EXPECT_FALSE(machine.health.ready());
  EXPECT_FALSE(machine.publish({"refused"}));
  const auto deliveries = machine.fetch();
  ASSERT_TRUE(deliveries) << deliveries.error();
  ASSERT_THAT(*deliveries, SizeIs(1));
  EXPECT_THAT(*machine.ack((*deliveries)[0].receipt), ElementsAre(Settled::kDone));
  machine.close();
  ASSERT_TRUE(machine.open());
  EXPECT_TRUE(machine.health.ready());
  EXPECT_TRUE(machine.publish({"accepted"}));
}

TEST(DurableQueueTest, AFullDiskIsOverWhenConsumersHaveTakenEverything) {
  Machine machine(16_KiB);
  ASSERT_TRUE(machine.open());
  machine.files.set_free_space(20 << 10);
  while (machine.publish({std::string(1000, 'x')})) {
  }
  const auto deliveries = *machine.fetch();
  for (const Delivery& each : deliveries) ASSERT_TRUE(machine.ack(each.receipt));
  EXPECT_TRUE(machine.publish({"the segments of what was acked are given back"}));
}

TEST(DurableQueueTest, ARepetitionOfAMessageThatCouldNotBeStoredIsNotAcknowledged) {
  Machine machine(16_KiB);
  ASSERT_TRUE(machine.open());
  const auto message = [](int number) {
    OutgoingMessage one;
    one.payload = std::make_shared<const std::string>(1000, 'x');
    one.deduplication_id = "id-" + std::to_string(number);
    return one;
  };
  std::vector<OutgoingMessage> many;
  for (int i = 0; i < 20; ++i) many.push_back(message(i));
  std::vector<OutgoingMessage> again;
  again.push_back(message(7));

  // The first publish needs a second segment. It is held while it syncs the first one.
  HeldSync sync(machine.files);
  machine.files.set_free_space(0);
  std::optional<Result<std::vector<PublishResult>>> first;
  std::optional<Result<std::vector<PublishResult>>> second;
  machine.begin(machine.queue().publish("t", std::move(many)), first);
  sync.wait_until_reached();
  machine.begin(machine.queue().publish("t", std::move(again)), second);
  sync.let_go_on();
  machine.finish(first);
  machine.finish(second);
  ASSERT_FALSE(*first);
  EXPECT_FALSE(*second) << "nobody has the message that it repeats";
  machine.files.set_free_space(1 << 20);
  EXPECT_FALSE(machine.publish({"x"}, "id-7")->at(0).duplicate);
}

// What a client knows of each message it published.
struct Known {
  std::set<std::string> acknowledged;
  std::set<std::string> acked;
  std::set<std::string> killed;  // for good: never redriven or purged
  std::set<std::string> purged;  // or of which that was tried
};

// Publishes, fetches, acks, kills, redrives and purges until the disk fails, and goes on as far as
// it is let. The first message is never acked, so that its segment is moved forward.
void work(Machine& machine, Known& known) {
  for (int i = 0; i < 40; ++i) {
    std::vector<std::string> payloads;
    for (int k = 0; k < 3; ++k) {
      payloads.push_back(std::to_string(i * 3 + k) + ":" + std::string(700, 'x'));
    }
    if (machine.publish(payloads)) known.acknowledged.insert(payloads.begin(), payloads.end());
    const auto deliveries = machine.fetch(3);
    if (!deliveries) return;
    for (const Delivery& each : *deliveries) {
      if (each.payload->starts_with("0:")) continue;
      if (i % 5 != 4) {
        if (machine.ack(each.receipt)) known.acked.insert(*each.payload);
      } else if (machine.kill(each.receipt, "because")) {
        known.killed.insert(*each.payload);
      }
    }
    if (i == 14 || i == 24) {
      const auto letters = machine.dead();
      if (!letters || letters->empty()) continue;
      const DeadLetter& letter = letters->front();
      known.killed.erase(*letter.payload);
      if (i == 14) {
        (void)machine.run(machine.queue().redrive("t", "collectors", {letter.message_id}));
      } else {
        const std::string payload = *letter.payload;
        known.purged.insert(payload);
        (void)machine.run(machine.queue().purge("t", "collectors", {letter.message_id}));
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
    if (known.acked.count(payload) == 0 && known.purged.count(payload) == 0) {
      ASSERT_EQ(copies, 1U) << where << ": lost: " << payload.substr(0, 4);
    }
  }
  for (const std::string& payload : known.killed) {
    ASSERT_EQ(dead.count(payload), 1U) << where << ": no longer dead: " << payload.substr(0, 4);
  }
}

// What goes wrong before the power is cut.
struct Fault {
  const char* name;
  void (*arrange)(io::SimulatedFileSystem&, std::uint64_t nth);
};

TEST(DurableQueueTest, LosesNothingAcknowledgedWhicheverOperationFails) {
  const Fault faults[] = {
      {"sync", [](io::SimulatedFileSystem& files, std::uint64_t nth) { files.fail_sync(nth); }},
      {"folder's sync",
       [](io::SimulatedFileSystem& files, std::uint64_t nth) { files.fail_directory_sync(nth); }},
      {"write", [](io::SimulatedFileSystem& files, std::uint64_t nth) { files.fail_write(nth); }},
      {"space", [](io::SimulatedFileSystem& files,
                   std::uint64_t nth) { files.set_free_space((nth - 1) * 4096); }},
  };
  for (const Fault& fault : faults) {
    for (std::uint64_t nth = 1; nth <= 60; ++nth) {
      Machine machine(16_KiB);
      const std::string where = std::string(fault.name) + " " + std::to_string(nth);
      fault.arrange(machine.files, nth);
      Known known;
      if (machine.open()) work(machine, known);
      machine.files.cut();
      machine.close();
      machine.files.reboot(io::PowerCut::kDropUnsynced);
      ASSERT_TRUE(machine.open()) << where;
      expect_nothing_lost(machine, known, where);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(DurableQueueTest, CountsTheSameAfterItWasReadBack) {
  for (std::uint32_t seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    Machine machine(16_KiB);
    ASSERT_TRUE(machine.open());
    std::vector<std::pair<std::string, std::string>> leases;  // group, receipt
    const std::string groups[] = {"collectors", "second", "third"};
    const auto expect_same_when_reopened = [&] {
      const auto before = *machine.run(machine.queue().statistics());
      machine.close();
      ASSERT_TRUE(machine.open());
      const auto after = *machine.run(machine.queue().statistics());
      ASSERT_EQ(after.size(), before.size()) << "seed " << seed;
      for (std::size_t i = 0; i < before.size(); ++i) {
        ASSERT_EQ(after[i].messages, before[i].messages) << "seed " << seed;
        ASSERT_EQ(after[i].bytes, before[i].bytes) << "seed " << seed;
        ASSERT_EQ(after[i].groups.size(), before[i].groups.size()) << "seed " << seed;
        for (std::size_t k = 0; k < before[i].groups.size(); ++k) {
          ASSERT_EQ(after[i].groups[k].ready, before[i].groups[k].ready) << "seed " << seed;
          ASSERT_EQ(after[i].groups[k].in_flight, before[i].groups[k].in_flight) << seed;
          ASSERT_EQ(after[i].groups[k].delayed, before[i].groups[k].delayed) << seed;
          ASSERT_EQ(after[i].groups[k].dead, before[i].groups[k].dead) << "seed " << seed;
        }
      }
    };
    for (int step = 0; step < 300; ++step) {
      const std::string& group = groups[random() % std::size(groups)];
      const auto take = [&] {
        const std::size_t at = random() % leases.size();
        std::swap(leases[at], leases.back());
        const auto lease = leases.back();
        leases.pop_back();
        return SettleRequest{"t", lease.first, {lease.second}};
      };
      switch (random() % 12) {
        case 0:
        case 1:
        case 2:
          (void)machine.publish({std::string(random() % 900, 'x'), "b"},
                                random() % 2 ? "id-" + std::to_string(random() % 50) : "");
          break;
        case 3:
        case 4:
        case 5: {
          FetchRequest request;
          request.topic = "t";
          request.group = group;
          request.max_messages = 1 + random() % 4;
          for (const Delivery& each : *machine.run(machine.queue().fetch(std::move(request)))) {
            leases.emplace_back(group, each.receipt);
          }
          break;
        }
        case 6:
        case 7:
          if (!leases.empty()) (void)machine.run(machine.queue().ack(take()));
          break;
        case 8: {
          NackOptions options;
          const auto what = random() % 4;
          if (what == 0) options.dead_letter_reason = "because";
          if (what == 1) options.delay = seconds{40};
          if (what == 2) options.release = true;
          if (!leases.empty()) (void)machine.run(machine.queue().nack(take(), options));
          break;
        }
        case 9:
          if (random() % 8 == 0) (void)machine.run(machine.queue().delete_group("t", group));
          break;
        case 10:
          if (random() % 2) {
            (void)machine.run(machine.queue().redrive("t", group, {}));
          } else {
            (void)machine.run(machine.queue().purge("t", group, {}));
          }
          break;
        default:
          machine.clock.advance(seconds{random() % 20});
      }
      if (random() % 40 == 0) expect_same_when_reopened();
      if (::testing::Test::HasFatalFailure()) return;
    }
    // Everything consumed and deleted, nothing is counted any more.
    for (const std::string& group : groups) {
      (void)machine.run(machine.queue().delete_group("t", group));
    }
    machine.clock.advance(hours{1});
    for (;;) {
      const auto rest = *machine.fetch();
      if (rest.empty()) break;
      for (const Delivery& each : rest) ASSERT_TRUE(machine.ack(each.receipt));
    }
    expect_same_when_reopened();
    if (::testing::Test::HasFatalFailure()) return;
    for (const TopicStatistics& topic : *machine.run(machine.queue().statistics())) {
      EXPECT_EQ(topic.messages, 0U) << "seed " << seed;
      EXPECT_EQ(topic.bytes, 0U) << "seed " << seed;
    }
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
