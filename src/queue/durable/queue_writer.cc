#include "queue/durable/queue_writer.h"

#include <algorithm>
#include <array>
#include <utility>

namespace gpu_telemetry::queue {
namespace {

// How long acks and deliveries may stay in this process's memory: SIGKILL costs that many
// redeliveries.
constexpr std::chrono::milliseconds kLinger{5};
// And how long in the kernel's, or the log's, when nothing else is synced.
constexpr std::chrono::milliseconds kSyncAfter{200};
constexpr std::size_t kLingerBytes = 64U << 10;
constexpr std::uint64_t kRecordOverhead = 64;  // of the log, generously

}  // namespace

QueueWriter::QueueWriter(const Clock& clock, ByteSize segment_size, observability::Health* health)
    : clock_(clock), segment_size_(segment_size.bytes), health_(health) {}

QueueWriter::~QueueWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Result<void> QueueWriter::start(std::shared_ptr<LedgerEngine> engine,
                                std::unique_ptr<log::SegmentLog> log, const QueueReplay& replay,
                                std::uint64_t generation) {
  engine_ = std::move(engine);
  log_ = std::move(log);
  engine_->run_always([&](Ledger& ledger, Now) {
    change_ = replay.last_change();
    ledger.for_each_message(
        [&](std::uint32_t, HeldMessage& message) { live_[message.place] += message.size; });
    put_opened(staged_.bytes, next_change(), generation);
    add(QueueRecord::kOpened, 0, true);
  });
  Batch first;
  first.take(pending_);
  if (auto ok = append(first); !ok) return ok;
  reclaim();
  if (health_) health_->set_ok("queue");
  thread_ = std::thread([this] { run(); });
  return {};
}

std::vector<std::pair<std::uint8_t, std::string>> QueueWriter::checkpoint() {
  return engine_->run_always([this](Ledger& ledger, Now now) {
    return checkpoint_records(change_, ledger.checkpoint(now), segment_size_ / 4);
  });
}

// --- within the engine's lock

void QueueWriter::Batch::take(Batch& other) {
  const std::size_t offset = bytes.size();
  bytes.append(other.bytes);
  for (Item& item : other.items) {
    item.begin += offset;
    item.end += offset;
    items.push_back(std::move(item));
  }
  std::move(other.publishes.begin(), other.publishes.end(), std::back_inserter(publishes));
  std::move(other.completions.begin(), other.completions.end(), std::back_inserter(completions));
  sync = sync || other.sync;
  other.clear();
}

void QueueWriter::Batch::clear() {
  bytes.clear();
  items.clear();
  publishes.clear();
  completions.clear();
  sync = false;
}

void QueueWriter::add(QueueRecord type, std::size_t begin, bool sync) {
  Item& item = staged_.items.emplace_back();
  item.type = type;
  item.begin = begin;
  item.end = staged_.bytes.size();
  staged_.sync = staged_.sync || sync;
}

void QueueWriter::topic_created(std::uint32_t topic, std::string_view name,
                                std::uint64_t next_sequence) {
  const std::size_t begin = staged_.bytes.size();
  put_topic(staged_.bytes, next_change(), topic, name, next_sequence);
  add(QueueRecord::kTopicCreated, begin, true);
}

void QueueWriter::topic_removed(std::uint32_t topic) {
  const std::size_t begin = staged_.bytes.size();
  put_group(staged_.bytes, next_change(), topic, {});
  add(QueueRecord::kTopicRemoved, begin, true);
}

void QueueWriter::group_created(std::uint32_t topic, std::string_view group) {
  const std::size_t begin = staged_.bytes.size();
  put_group(staged_.bytes, next_change(), topic, group);
  add(QueueRecord::kGroupCreated, begin, true);
}

void QueueWriter::group_deleted(std::uint32_t topic, std::string_view group) {
  const std::size_t begin = staged_.bytes.size();
  put_group(staged_.bytes, next_change(), topic, group);
  add(QueueRecord::kGroupDeleted, begin, true);
}

void QueueWriter::accepted(std::uint32_t topic, const HeldMessage& message,
                           std::string_view deduplication_id, bool in_progress) {
  const std::size_t begin = staged_.bytes.size();
  put_message_head(staged_.bytes, next_change(), topic, message, deduplication_id);
  add(in_progress ? QueueRecord::kStepMessage : QueueRecord::kMessage, begin, true);
  Item& item = staged_.items.back();
  item.payload = message.payload;
  item.topic = topic;
  item.sequence = message.sequence;
}

void QueueWriter::progressed(std::uint32_t topic, const ShardProgress& progress,
                             std::uint64_t first, std::uint64_t end) {
  const std::size_t begin = staged_.bytes.size();
  put_progress(staged_.bytes, next_change(), topic, progress, first, end);
  add(QueueRecord::kProgress, begin, true);
}

void QueueWriter::board_changed(std::uint32_t topic, std::string_view source,
                                const ShardBoard& board) {
  const std::size_t begin = staged_.bytes.size();
  put_board(staged_.bytes, next_change(), topic, source, board);
  add(QueueRecord::kBoard, begin, false);
}

void QueueWriter::board_removed(std::uint32_t topic, std::string_view source) {
  const std::size_t begin = staged_.bytes.size();
  put_group(staged_.bytes, next_change(), topic, source);
  add(QueueRecord::kBoardRemoved, begin, false);
}

void QueueWriter::changed(std::uint32_t topic, std::string_view group,
                          std::span<const GroupEntry> entries) {
  const std::size_t begin = staged_.bytes.size();
  if (entries.front().state == EntryState::kLeased) {
    put_leased(staged_.bytes, next_change(), topic, group, entries);
    add(QueueRecord::kLeased, begin, false);
  } else {
    put_waiting(staged_.bytes, next_change(), topic, group, entries, read(clock_));
    add(QueueRecord::kWaiting, begin, false);
  }
}

void QueueWriter::died(std::uint32_t topic, std::string_view group, const GroupEntry& entry,
                       const DeathRecord& death) {
  const std::size_t begin = staged_.bytes.size();
  put_dead(staged_.bytes, next_change(), topic, group, entry, death);
  add(QueueRecord::kDead, begin, true);
}

void QueueWriter::settled(std::uint32_t topic, std::string_view group,
                          std::span<const std::uint64_t> sequences) {
  const std::size_t begin = staged_.bytes.size();
  put_settled(staged_.bytes, next_change(), topic, group, sequences);
  add(QueueRecord::kSettled, begin, false);
}

void QueueWriter::freed(std::uint32_t, const HeldMessage& message) {
  const auto live = live_.find(message.place);
  if (live == live_.end()) return;  // it was never stored
  live->second -= message.size;
}

std::shared_ptr<SyncCompletion> QueueWriter::stage_completion() {
  staged_.sync = true;
  return staged_.completions.emplace_back(std::make_shared<SyncCompletion>());
}

std::shared_ptr<SyncCompletion> QueueWriter::stage_publish(const Ledger::Accepted& accepted) {
  staged_.sync = true;
  Publish& publish = staged_.publishes.emplace_back();
  publish.accepted.topic = accepted.topic;
  publish.accepted.first = accepted.first;
  publish.accepted.end = accepted.end;
  publish.accepted.progress = accepted.progress;
  publish.repeats = accepted.end - accepted.first != accepted.results.size();
  publish.completion = std::make_shared<SyncCompletion>();
  return publish.completion;
}

void QueueWriter::end_of_changes() {
  if (staged_.empty()) return;
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    wake = pending_.empty() || (staged_.sync && !pending_.sync) ||
           pending_.bytes.size() > kLingerBytes;
    pending_.take(staged_);
  }
  if (wake) wake_.notify_one();
}

// --- the thread

void QueueWriter::run() {
  Batch batch;
  for (;;) {
    {
      const auto has_work = [this] { return stopping_ || !pending_.empty(); };
      std::unique_lock lock(mutex_);
      if (!unsynced_) {
        wake_.wait(lock, has_work);
      } else if (!wake_.wait_for(lock, kSyncAfter, has_work)) {
        pending_.sync = true;  // an empty batch: what was appended before it
      }
      wake_.wait_for(lock, kLinger, [this] {
        return stopping_ || pending_.sync || pending_.bytes.size() > kLingerBytes;
      });
      if (stopping_ && pending_.empty()) return;
      std::swap(batch, pending_);
    }
    write(batch);
    batch.clear();
  }
}

void QueueWriter::write(Batch& batch) {
  const std::uint64_t segment_before = log_->segments().back();
  Result<void> outcome = append(batch);
  // What was consumed meanwhile may be the space that is missing. What was appended in part is
  // appended again: a reader skips changes that it has.
  if (!outcome && outcome.error().code == ErrorCode::kFull && remove_unused()) {
    outcome = append(batch);
  }
  if (!outcome) {
    // What could not be written is missing from the log, until a checkpoint has it.
    checkpoint_wanted_ = true;
    unsynced_ = false;
    if (outcome.error().code != ErrorCode::kFull && !std::exchange(failed_for_good_, true)) {
      observability::log_error(
          "The queue accepts nothing more until it is opened again; what it holds is delivered",
          {{"error", outcome.error().message}});
      if (health_) health_->set_failed("queue", outcome.error().message);
    }
    limiter_.log(observability::LogLevel::kError, "The queue's log refuses to be written",
                 {{"error", outcome.error().message}});
  }
  finish(batch, outcome);
  if (outcome && log_->segments().back() != segment_before) reclaim();
}

Result<void> QueueWriter::append(Batch& batch) {
  if (checkpoint_wanted_ && !batch.items.empty()) {
    if (auto ok = append_checkpoint(); !ok) return ok;
  }
  // Several appends only for what is large; each goes whole into one segment.
  std::size_t first = 0;
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < batch.items.size(); ++i) {
    const Item& item = batch.items[i];
    const std::uint64_t more =
        item.end - item.begin + (item.payload ? item.payload->size() : 0) + kRecordOverhead;
    if (i > first && size + more > segment_size_ / 4) {
      if (auto ok = append_some(batch, first, i); !ok) return ok;
      first = i;
      size = 0;
    }
    size += more;
  }
  if (first < batch.items.size()) {
    if (auto ok = append_some(batch, first, batch.items.size()); !ok) return ok;
  }
  if (!batch.sync) {
    unsynced_ = true;
    return {};
  }
  unsynced_ = false;
  return log_->sync();
}

Result<void> QueueWriter::append_some(Batch& batch, std::size_t first, std::size_t end) {
  std::vector<std::array<std::string_view, 2>> texts(end - first);
  std::vector<log::SegmentLog::Piece> pieces;
  pieces.reserve(end - first);
  for (std::size_t i = first; i < end; ++i) {
    const Item& item = batch.items[i];
    auto& text = texts[i - first];
    text[0] = std::string_view(batch.bytes).substr(item.begin, item.end - item.begin);
    if (item.payload) text[1] = *item.payload;
    pieces.push_back({static_cast<std::uint8_t>(item.type), text});
  }
  const auto position = log_->append_all(pieces, log::Durability::kBuffered);
  if (!position) return position.error();
  for (std::size_t i = first; i < end; ++i) batch.items[i].segment = position->segment;
  return {};
}

Result<void> QueueWriter::append_checkpoint() {
  const auto records = checkpoint();
  std::vector<std::string_view> texts;
  std::vector<log::SegmentLog::Piece> pieces;
  for (const auto& [type, payload] : records) texts.emplace_back(payload);
  for (std::size_t i = 0; i < records.size(); ++i) {
    pieces.push_back({records[i].first, {&texts[i], 1}});
  }
  const auto position = log_->append_all(pieces, log::Durability::kBuffered);
  if (!position) return position.error();
  checkpoint_wanted_ = false;
  return {};
}

void QueueWriter::finish(Batch& batch, const Result<void>& outcome) {
  engine_->run_always([&](Ledger& ledger, Now) {
    for (const Item& item : batch.items) {
      const bool is_message =
          item.type == QueueRecord::kMessage || item.type == QueueRecord::kStepMessage;
      if (!outcome || !is_message) continue;
      HeldMessage* message = ledger.find_message(item.topic, item.sequence);
      if (message == nullptr) continue;
      message->place = item.segment;
      live_[item.segment] += message->size;
    }
    for (Publish& publish : batch.publishes) {
      if (!outcome) publish.failure = outcome.error();
      if (!publish.failure) {
        ledger.commit(publish.accepted);
        continue;
      }
      ledger.withdraw(publish.accepted);
      checkpoint_wanted_ = true;
      fail_repetitions(publish);
    }
  });
  for (const Publish& publish : batch.publishes) {
    publish.completion->complete(publish.failure ? Result<void>(*publish.failure) : outcome);
  }
  for (const auto& completion : batch.completions) completion->complete(outcome);
}

// While a batch is written, its messages are found by their ids already. Who came with such an id,
// and waits in the next batch, must not be told that the message is safe when it was withdrawn.
void QueueWriter::fail_repetitions(const Publish& withdrawn) {
  const std::lock_guard lock(mutex_);
  for (Publish& waiting : pending_.publishes) {
    if (waiting.repeats && waiting.accepted.topic == withdrawn.accepted.topic)
      waiting.failure = withdrawn.failure;
  }
}

// --- giving space back

void QueueWriter::reclaim() {
  if (const auto segment = segment_to_move(log_->segments())) (void)move_forward(*segment);
  (void)remove_unused();
}

// A segment with no held message in it is not needed: the checkpoint that opens the next one, which
// the log has synced, has the rest. Returns whether there was one.
bool QueueWriter::remove_unused() {
  const std::vector<std::uint64_t> segments = log_->segments();
  bool removed_any = false;
  std::vector<std::uint64_t> unused;
  engine_->run_always([&](Ledger&, Now) {
    for (const std::uint64_t segment : segments) {
      if (segment == segments.back()) continue;
      const auto live = live_.find(segment);
      if (live != live_.end() && live->second > 0) continue;
      unused.push_back(segment);
      if (live != live_.end()) live_.erase(live);
    }
  });
  for (const std::uint64_t segment : unused) {
    if (auto ok = log_->remove_segment(segment); ok) {
      removed_any = true;
    } else {
      limiter_.log(observability::LogLevel::kWarn, "A segment of the queue's log stays",
                   {{"error", ok.error().message}});
    }
  }
  return removed_any;
}

// One that is under a quarter live and not the newest full one, which may still empty by itself.
std::optional<std::uint64_t> QueueWriter::segment_to_move(
    const std::vector<std::uint64_t>& segments) {
  return engine_->run_always([&](Ledger&, Now) -> std::optional<std::uint64_t> {
    for (std::size_t i = 0; i + 2 < segments.size(); ++i) {
      const auto live = live_.find(segments[i]);
      if (live != live_.end() && live->second > 0 && live->second < segment_size_ / 4) {
        return segments[i];
      }
    }
    return std::nullopt;
  });
}

Result<void> QueueWriter::move_forward(std::uint64_t segment) {
  Batch copies;
  engine_->run_always([&](Ledger& ledger, Now) {
    ledger.for_each_message([&](std::uint32_t topic, HeldMessage& message) {
      if (message.place != segment) return;
      Item& item = copies.items.emplace_back();
      item.type = QueueRecord::kCopy;
      item.begin = copies.bytes.size();
      put_message_head(copies.bytes, 0, topic, message, {});
      item.end = copies.bytes.size();
      item.payload = message.payload;
      item.topic = topic;
      item.sequence = message.sequence;
    });
  });
  copies.sync = true;
  if (auto ok = append(copies); !ok) {
    checkpoint_wanted_ = true;
    return ok;
  }
  engine_->run_always([&](Ledger& ledger, Now) {
    for (const Item& item : copies.items) {
      HeldMessage* message = ledger.find_message(item.topic, item.sequence);
      if (message == nullptr || message->place != segment) continue;
      live_[segment] -= message->size;
      message->place = item.segment;
      live_[item.segment] += message->size;
    }
  });
  return {};
}

}  // namespace gpu_telemetry::queue
