#include "queue/ledger_model.h"

#include <algorithm>
#include <set>

#include "queue/requests.h"

namespace gpu_telemetry::queue {

bool LedgerModel::Message::counts() const {
  return loose || std::any_of(groups.begin(), groups.end(), [](const auto& each) {
           return each.second.state != EntryState::kDead;
         });
}

LedgerModel::Message* LedgerModel::find(const std::string& id) {
  for (Message& message : messages_) {
    if (message.id == id) return &message;
  }
  return nullptr;
}

void LedgerModel::sweep() {
  std::erase_if(messages_, [](const Message& each) { return !each.loose && each.groups.empty(); });
}

void LedgerModel::bury(const std::string& group, State& state) {
  state.state = EntryState::kDead;
  state.death = ++deaths_;
  std::vector<std::pair<std::uint64_t, Message*>> dead;
  for (Message& message : messages_) {
    const auto found = message.groups.find(group);
    if (found == message.groups.end() || found->second.state != EntryState::kDead) continue;
    dead.emplace_back(found->second.death, &message);
  }
  std::sort(dead.begin(), dead.end());
  if (dead.size() > std::max<std::uint64_t>(options_.max_dead_letters, 1)) {
    dead.front().second->groups.erase(group);
  }
}

void LedgerModel::retry(Message&, const std::string& group, State& state, SteadyTime now,
                        Milliseconds delay, bool expired) {
  if (state.count > options_.max_retries) {
    bury(group, state);
    return;
  }
  state.state = delay.count() > 0 ? EntryState::kDelayed : EntryState::kReady;
  state.due = now + delay;
  state.expired = expired;
}

void LedgerModel::expire(SteadyTime now) {
  for (const auto& [group, unused] : groups_) {
    for (;;) {
      Message* first = nullptr;
      for (Message& message : messages_) {
        const auto found = message.groups.find(group);
        if (found == message.groups.end()) continue;
        const State& state = found->second;
        const bool timed =
            state.state == EntryState::kLeased || state.state == EntryState::kDelayed;
        if (!timed || state.due > now) continue;
        if (first == nullptr || state.due < first->groups.at(group).due) first = &message;
      }
      if (first == nullptr) break;
      State& state = first->groups.at(group);
      if (state.state == EntryState::kDelayed) {
        state.state = EntryState::kReady;
        state.expired = false;
      } else {
        retry(*first, group, state, now, Milliseconds{0}, true);
      }
    }
  }
  sweep();
}

void LedgerModel::remove_idle(SteadyTime now) {
  std::vector<std::string> idle;
  for (const auto& [name, group] : groups_) {
    const bool permanent =
        std::count(options_.permanent_groups.begin(), options_.permanent_groups.end(), name) > 0;
    const bool leases = std::any_of(messages_.begin(), messages_.end(), [&](const Message& each) {
      const auto found = each.groups.find(name);
      return found != each.groups.end() && found->second.state == EntryState::kLeased;
    });
    if (!permanent && !leases && group.last_used + options_.idle_group_lifetime <= now) {
      idle.push_back(name);
    }
  }
  for (const std::string& name : idle) delete_group(name);
}

bool LedgerModel::delete_group(const std::string& group) {
  if (groups_.erase(group) == 0) return false;
  for (Message& message : messages_) {
    const auto found = message.groups.find(group);
    if (found == message.groups.end()) continue;
    if (groups_.empty() && found->second.state != EntryState::kDead) message.loose = true;
    message.groups.erase(found);
  }
  sweep();
  return true;
}

bool LedgerModel::has_room(SteadyTime now, const std::vector<OutgoingMessage>& messages) {
  std::erase_if(seen_, [now](const auto& each) { return each.second.second <= now; });
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  for (const Message& message : messages_) {
    if (!message.counts()) continue;
    ++count;
    bytes += message.payload.size() + options_.message_overhead.bytes;
  }
  std::set<std::string> in_batch;
  for (const OutgoingMessage& message : messages) {
    const std::string& id = message.deduplication_id;
    if (!id.empty() && (seen_.count(id) > 0 || !in_batch.insert(id).second)) continue;
    ++count;
    bytes += message.payload->size() + options_.message_overhead.bytes;
  }
  return count <= options_.max_messages_per_topic && bytes <= options_.max_bytes.bytes;
}

std::optional<std::string> LedgerModel::publish(SteadyTime now,
                                                const std::vector<OutgoingMessage>& messages,
                                                const std::vector<PublishResult>& results) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string& id = messages[i].deduplication_id;
    const auto seen = id.empty() ? seen_.end() : seen_.find(id);
    if (results[i].duplicate != (seen != seen_.end())) return "duplicate or not";
    if (seen != seen_.end()) {
      if (seen->second.first != results[i].message_id) return "the duplicate's message id";
      continue;
    }
    if (find(results[i].message_id) != nullptr) return "a message id twice";
    Message message{results[i].message_id, *messages[i].payload, groups_.empty(), {}};
    for (const auto& [group, unused] : groups_) message.groups.emplace(group, State{});
    messages_.push_back(std::move(message));
    if (!id.empty()) {
      seen_[id] = {results[i].message_id, now + options_.deduplication_window};
    }
  }
  return std::nullopt;
}

std::optional<std::string> LedgerModel::fetch(SteadyTime now, const std::string& group,
                                              std::size_t max,
                                              const std::vector<Delivery>& deliveries) {
  if (groups_.count(group) == 0) {
    for (Message& message : messages_) {
      if (message.counts()) message.groups.emplace(group, State{});
      message.loose = false;
    }
  }
  groups_[group].last_used = now;
  std::size_t given = 0;
  for (Message& message : messages_) {
    if (given == max) break;
    const auto found = message.groups.find(group);
    if (found == message.groups.end() || found->second.state != EntryState::kReady) continue;
    if (given >= deliveries.size()) return "too few deliveries";
    const Delivery& delivery = deliveries[given++];
    if (delivery.message_id != message.id) return "which message is delivered";
    if (*delivery.payload != message.payload) return "the payload";
    found->second = {EntryState::kLeased,
                     found->second.count + 1,
                     now + options_.visibility_timeout,
                     delivery.receipt,
                     false,
                     0};
    if (delivery.delivery_count != found->second.count) return "the delivery count";
  }
  if (given != deliveries.size()) return "too many deliveries";
  return std::nullopt;
}

std::vector<Settled> LedgerModel::settle(SteadyTime now, Kind kind, const std::string& group,
                                         const std::vector<std::string>& texts,
                                         const NackOptions& options, Milliseconds visibility) {
  std::vector<Settled> results(texts.size(), Settled::kUnknown);
  if (groups_.count(group) == 0) return results;
  groups_[group].last_used = now;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (Message& message : messages_) {
      const auto found = message.groups.find(group);
      if (found == message.groups.end()) continue;
      State& state = found->second;
      const bool by_id = texts[i] == message.id;
      if (!by_id && texts[i] != state.receipt) continue;
      const bool late =
          kind == Kind::kAck && !by_id && state.expired && state.state == EntryState::kReady;
      if (state.state != EntryState::kLeased && !late) continue;
      results[i] = Settled::kDone;
      if (kind == Kind::kAck) {
        message.groups.erase(found);
      } else if (kind == Kind::kExtend) {
        state.due = now + visibility;
      } else if (options.release) {
        state.state = EntryState::kReady;
        state.expired = false;
        --state.count;
      } else if (options.dead_letter_reason) {
        bury(group, state);
      } else {
        retry(message, group, state, now, options.delay, false);
      }
      break;
    }
  }
  sweep();
  return results;
}

std::vector<std::string> LedgerModel::dead_payloads(const std::string& group) const {
  std::map<std::uint64_t, std::string> dead;
  for (const Message& message : messages_) {
    const auto found = message.groups.find(group);
    if (found != message.groups.end() && found->second.state == EntryState::kDead) {
      dead.emplace(found->second.death, message.payload);
    }
  }
  std::vector<std::string> payloads;
  for (const auto& [order, payload] : dead) payloads.push_back(payload);
  return payloads;
}

std::uint64_t LedgerModel::revive(SteadyTime now, const std::string& group,
                                  const std::vector<std::string>& ids, bool purge) {
  if (groups_.count(group) == 0) return 0;
  groups_[group].last_used = now;
  std::uint64_t done = 0;
  for (Message& message : messages_) {
    const auto found = message.groups.find(group);
    if (found == message.groups.end() || found->second.state != EntryState::kDead) continue;
    if (!ids.empty() && std::count(ids.begin(), ids.end(), message.id) == 0) continue;
    ++done;
    if (purge) {
      message.groups.erase(found);
    } else {
      found->second = State{};
    }
  }
  sweep();
  return done;
}

std::optional<std::string> LedgerModel::compare(
    const std::vector<TopicStatistics>& statistics) const {
  if (statistics.empty()) return messages_.empty() ? std::nullopt : std::optional("no topic");
  const TopicStatistics& topic = statistics[0];
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  for (const Message& message : messages_) {
    if (!message.counts()) continue;
    ++count;
    bytes += message.payload.size();
  }
  if (topic.messages != count) return "messages held";
  if (topic.bytes != bytes) return "bytes held";
  if (topic.groups.size() != groups_.size()) return "the number of groups";
  for (const GroupStatistics& group : topic.groups) {
    std::uint64_t in_state[kEntryStates] = {};
    for (const Message& message : messages_) {
      const auto found = message.groups.find(group.group);
      if (found != message.groups.end()) ++in_state[static_cast<int>(found->second.state)];
    }
    if (group.ready != in_state[0] || group.in_flight != in_state[1] ||
        group.delayed != in_state[2] || group.dead != in_state[3]) {
      return "the counts of group " + group.group;
    }
  }
  return std::nullopt;
}

namespace {

constexpr const char* kGroups[] = {"a", "b", "collectors"};

// One run: a ledger, its model, and the receipts seen so far.
class Run {
 public:
  explicit Run(const Choose& choose)
      : choose_(choose), ledger_(options(), {42, 7}), model_(options()) {}

  std::optional<std::string> go() {
    while (const auto operation = choose_(16)) {
      model_.expire(now_.steady);
      auto difference = step(*operation);
      // A lease that was extended by nothing is over already.
      model_.expire(now_.steady);
      if (!difference) difference = model_.compare(ledger_.statistics(now_));
      if (difference) return "operation " + std::to_string(*operation) + ": " + *difference;
    }
    return std::nullopt;
  }

 private:
  static QueueOptions options() {
    QueueOptions options;
    options.visibility_timeout = std::chrono::seconds{10};
    options.max_retries = 2;
    options.max_messages_per_topic = 40;
    options.max_bytes = ByteSize{600};
    options.message_overhead = ByteSize{16};
    options.max_dead_letters = 5;
    options.deduplication_window = std::chrono::seconds{20};
    options.idle_group_lifetime = std::chrono::seconds{60};
    return options;
  }
  std::uint32_t pick(std::uint32_t bound) { return choose_(bound).value_or(0); }
  std::string group() { return kGroups[pick(3)]; }
  std::vector<std::string> known(std::uint32_t max) {
    std::vector<std::string> some;
    for (std::uint32_t n = 1 + pick(max); n > 0; --n) {
      if (known_.empty() || pick(10) == 0) {
        some.push_back("unknown");
      } else {
        const auto back =
            pick(static_cast<std::uint32_t>(std::min<std::size_t>(known_.size(), 60)));
        some.push_back(known_[known_.size() - 1 - back]);
      }
    }
    return some;
  }

  std::optional<std::string> step(std::uint32_t operation) {
    if (operation < 4) return publish();
    if (operation < 8) return fetch();
    if (operation < 11) return settle(LedgerModel::Kind::kAck);
    if (operation == 11) return settle(LedgerModel::Kind::kNack);
    if (operation == 12) return settle(LedgerModel::Kind::kExtend);
    if (operation == 13) return dead();
    if (operation == 14) return rare();
    const Milliseconds by{pick(2) == 0 ? pick(100) : pick(12'000)};
    now_.steady += by;
    now_.wall += by;
    model_.expire(now_.steady);
    return std::nullopt;
  }

  std::optional<std::string> publish() {
    std::vector<OutgoingMessage> messages(1 + pick(6));
    for (OutgoingMessage& message : messages) {
      message.payload = std::make_shared<const std::string>(pick(20), 'x');
      if (pick(3) == 0) message.deduplication_id = std::string(1, static_cast<char>('a' + pick(8)));
    }
    const bool room = model_.has_room(now_.steady, messages);
    const auto results = ledger_.publish(now_, "t", messages);
    if (results.has_value() != room) return "whether there is room";
    return results ? model_.publish(now_.steady, messages, *results) : std::nullopt;
  }
  std::optional<std::string> fetch() {
    FetchRequest request;
    request.topic = "t";
    request.group = group();
    request.max_messages = 1 + pick(8);
    const auto deliveries = ledger_.fetch(now_, request);
    if (!deliveries) return deliveries.error().message;
    for (const Delivery& delivery : *deliveries) {
      known_.push_back(delivery.receipt);
      if (pick(4) == 0) known_.push_back(delivery.message_id);
    }
    return model_.fetch(now_.steady, request.group, request.max_messages, *deliveries);
  }
  std::optional<std::string> settle(LedgerModel::Kind kind) {
    const SettleRequest request{"t", group(), known(5)};
    NackOptions options;
    const Milliseconds visibility{pick(30'000)};
    Result<std::vector<Settled>> results = std::vector<Settled>();
    if (kind == LedgerModel::Kind::kAck) {
      results = ledger_.ack(now_, request);
    } else if (kind == LedgerModel::Kind::kExtend) {
      results = ledger_.extend(now_, request, visibility);
    } else {
      const auto how = pick(4);
      if (how == 0) options.delay = Milliseconds{pick(20'000)};
      if (how == 1) options.release = true;
      if (how == 2) options.dead_letter_reason = "because";
      results = ledger_.nack(now_, request, options);
    }
    if (!results) return results.error().message;
    const auto expected = model_.settle(now_.steady, kind, request.group, request.receipts_or_ids,
                                        options, visibility);
    return *results == expected ? std::nullopt : std::optional<std::string>("what was settled");
  }
  std::optional<std::string> dead() {
    const std::string name = group();
    const bool purge = pick(2) == 0;
    std::vector<std::string> ids;
    if (pick(2) == 0) ids = known(4);
    const auto letters = ledger_.dead_letters(now_, "t", name, 1000);
    std::vector<std::string> payloads;
    for (const DeadLetter& letter : *letters) payloads.push_back(*letter.payload);
    if (payloads != model_.dead_payloads(name)) return "the dead letters";
    const auto done =
        purge ? ledger_.purge(now_, "t", name, ids) : ledger_.redrive(now_, "t", name, ids);
    if (*done != model_.revive(now_.steady, name, ids, purge)) return "how many letters";
    return std::nullopt;
  }
  std::optional<std::string> rare() {
    if (pick(4) == 0) {
      const std::string name = group();
      const bool deleted = ledger_.delete_group(now_, "t", name).has_value();
      if (deleted != model_.delete_group(name)) return "whether the group was there";
      return std::nullopt;
    }
    const auto next = ledger_.tick(now_);
    model_.remove_idle(now_.steady);
    if (next && *next <= now_.steady) return "the next deadline is due already";
    return std::nullopt;
  }

  const Choose& choose_;
  Now now_{from_unix_milliseconds(1'760'000'000'000), SteadyTime{std::chrono::hours{1}}};
  Ledger ledger_;
  LedgerModel model_;
  std::vector<std::string> known_;
};

}  // namespace

std::optional<std::string> find_difference(const Choose& choose) { return Run(choose).go(); }

}  // namespace gpu_telemetry::queue
