// A ledger as one would write it without a thought for speed, and a driver that runs random
// operations on it and on the real one and says where they differ. For tests and the fuzzer.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "queue/ledger.h"

namespace gpu_telemetry::queue {

class LedgerModel {
 public:
  struct State {
    EntryState state = EntryState::kReady;
    std::uint32_t count = 0;
    SteadyTime due{};
    std::string receipt;
    bool expired = false;
    std::uint64_t death = 0;
  };
  struct Message {
    std::string id;
    std::string payload;
    bool loose = false;  // no group yet
    std::map<std::string, State> groups;

    bool counts() const;
  };
  struct Group {
    SteadyTime last_used{};
  };

  explicit LedgerModel(QueueOptions options) : options_(std::move(options)) {}

  void expire(SteadyTime now);
  void remove_idle(SteadyTime now);
  // Whether a publish of these is to succeed.
  bool has_room(SteadyTime now, const std::vector<OutgoingMessage>& messages);
  // Takes over what the ledger answered; returns a difference or nothing.
  std::optional<std::string> publish(SteadyTime now, const std::vector<OutgoingMessage>& messages,
                                     const std::vector<PublishResult>& results);
  std::optional<std::string> fetch(SteadyTime now, const std::string& group, std::size_t max,
                                   const std::vector<Delivery>& deliveries);
  enum class Kind { kAck, kExtend, kNack };
  std::vector<Settled> settle(SteadyTime now, Kind kind, const std::string& group,
                              const std::vector<std::string>& texts, const NackOptions& options,
                              Milliseconds visibility);
  std::uint64_t revive(SteadyTime now, const std::string& group,
                       const std::vector<std::string>& ids, bool purge);
  std::vector<std::string> dead_payloads(const std::string& group) const;
  bool delete_group(const std::string& group);
  std::optional<std::string> compare(const std::vector<TopicStatistics>& statistics) const;

 private:
  Message* find(const std::string& id);
  void retry(Message& message, const std::string& group, State& state, SteadyTime now,
             Milliseconds delay, bool expired);
  void bury(const std::string& group, State& state);
  void sweep();

  QueueOptions options_;
  std::deque<Message> messages_;
  std::map<std::string, Group> groups_;
  std::map<std::string, std::pair<std::string, SteadyTime>> seen_;
  std::uint64_t deaths_ = 0;
};

// Runs operations until `choose` has no more; `choose(n)` answers 0 to n - 1, or nothing at the
// end. Returns the first difference.
using Choose = std::function<std::optional<std::uint32_t>(std::uint32_t bound)>;
std::optional<std::string> find_difference(const Choose& choose);

}  // namespace gpu_telemetry::queue
