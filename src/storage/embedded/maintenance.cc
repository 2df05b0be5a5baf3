// What the store does beside answering: exchanging and sealing the head, merging, expiry,
// verifying.
#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string>

#include "observability/log.h"
#include "storage/embedded/merging.h"
#include "storage/embedded/sealing.h"
#include "storage/embedded/store.h"

namespace gpu_telemetry::storage::embedded {

namespace {

// How long a write may be held back by sealing before it is told that the store is full.
constexpr std::chrono::seconds kLongestSlowdown{20};
constexpr std::chrono::seconds kSealRetry{1};
// Each file is read through once in so long.
constexpr std::chrono::hours kVerifyEvery{24};
constexpr std::chrono::hours kPruneEvery{1};

}  // namespace

// What changes in the set of files.
struct Store::Publication {
  std::vector<FileEntry> added;
  std::vector<StoredFilePointer> removed;
  std::optional<std::uint64_t> journal_floor;
  bool sealed = false;  // the added files are the frozen head
};

Result<void> Store::publish(Publication publication) {
  const std::lock_guard publishing(publish_mutex_);
  std::vector<StoredFilePointer> opened;
  for (const FileEntry& entry : publication.added) {
    auto file = folder_.open(entry);
    if (!file) return file.error();
    opened.push_back(std::move(*file));
  }
  CatalogueChange change;
  change.added = publication.added;
  change.journal_floor = publication.journal_floor;
  for (const auto& file : publication.removed) change.removed.push_back(file->entry());
  const auto committed = catalogue_->commit(change);
  if (!committed) return committed;

  std::vector<StoredFilePointer> files;
  for (const auto& file : version().files->files()) {
    if (std::find(publication.removed.begin(), publication.removed.end(), file) ==
        publication.removed.end()) {
      files.push_back(file);
    }
  }
  files.insert(files.end(), opened.begin(), opened.end());
  auto file_set = std::make_shared<const FileSet>(std::move(files));
  {
    const std::lock_guard lock(version_mutex_);
    version_.files = std::move(file_set);
    if (publication.sealed) {
      version_.frozen.reset();
      seal_failure_.reset();
    }
  }
  version_changed_.notify_all();
  for (const auto& file : publication.removed) {
    const auto removed = folder_.remove(file->entry().name());
    if (removed) continue;
    observability::log_warn("a file that is no longer used stays until the store is opened again",
                            {{"file", file->entry().name()}, {"error", removed.error().message}});
  }
  return {};
}

Result<void> Store::make_room() {
  if (version().active->bytes() < head_limit()) return {};
  const std::lock_guard rolling(roll_mutex_);
  if (version().active->bytes() < head_limit()) return {};
  if (version().frozen) {
    const auto sealed = options_.background ? await_sealing() : seal_frozen({});
    if (!sealed) return sealed;
  }
  return freeze();
}

Result<void> Store::await_sealing() {
  std::unique_lock lock(version_mutex_);
  version_changed_.wait_for(lock, kLongestSlowdown,
                            [&] { return !version_.frozen || seal_failure_.has_value(); });
  if (!version_.frozen) return {};
  if (seal_failure_) return seal_failure_->at("the samples in memory cannot be put in files");
  return full("samples come faster than they can be put in files; write more slowly");
}

Result<void> Store::freeze() {
  {
    const std::lock_guard<WriteGate> alone(gate_);
    const auto segment = journal_->roll();
    if (!segment) return segment.error();
    const std::lock_guard lock(version_mutex_);
    version_.frozen = std::move(version_.active);
    version_.active = std::make_shared<Head>();
    frozen_floor_ = *segment;
    frozen_sequence_ = next_sequence_.fetch_add(1);
  }
  version_changed_.notify_all();
  return {};
}

Result<void> Store::seal_frozen(std::stop_token stop) {
  const std::lock_guard sealing(seal_mutex_);
  SealRequest request;
  Publication publication;
  std::shared_ptr<Head> head;
  {
    const std::lock_guard lock(version_mutex_);
    if (!version_.frozen) return {};
    head = version_.frozen;
    publication.journal_floor = frozen_floor_;
    request.sequence = frozen_sequence_;
  }
  const auto began = std::chrono::steady_clock::now();
  request.head = head.get();
  request.metrics = &metrics_;
  request.partition_ms = options_.partition.count();
  request.cutoff = cutoff();
  const auto attempt = [&]() -> Result<void> {
    auto entries = seal_head(folder_, request, stop);
    if (!entries) return entries.error();
    publication.added = std::move(*entries);
    publication.sealed = true;
    return publish(publication);
  };
  const auto sealed = attempt();
  if (!sealed) {
    if (sealed.error().code != ErrorCode::kCancelled) {
      {
        const std::lock_guard lock(version_mutex_);
        seal_failure_ = sealed.error();
      }
      version_changed_.notify_all();
      observability::log_error("the samples in memory could not be put in files; trying again",
                               {{"error", sealed.error().message}});
    }
    return sealed;
  }
  store_metrics_.sealed(publication.added.size(), std::chrono::steady_clock::now() - began);
  const auto released = journal_->release_before(*publication.journal_floor);
  if (!released) {
    observability::log_warn("journal segments that are no longer needed could not be removed",
                            {{"error", released.error().message}});
  }
  return {};
}

Result<void> Store::seal() {
  const std::lock_guard rolling(roll_mutex_);
  const auto earlier = seal_frozen({});
  if (!earlier) return earlier;
  if (version().active->empty()) return {};
  const auto frozen = freeze();
  if (!frozen) return frozen;
  return seal_frozen({});
}

Result<void> Store::expire() {
  const std::int64_t before = cutoff();
  Publication publication;
  for (const auto& file : version().files->files()) {
    if (std::max(file->last(), file->stored_at()) < before) publication.removed.push_back(file);
  }
  if (publication.removed.empty()) return {};
  const std::size_t count = publication.removed.size();
  const auto published = publish(std::move(publication));
  if (published) store_metrics_.expired(count);
  return published;
}

Result<void> Store::merge(std::stop_token stop) {
  MergeOptions options;
  options.partition_ms = options_.partition.count();
  while (!stop.stop_requested()) {
    options.now = unix_milliseconds(clock_.now());
    options.cutoff = cutoff();
    Publication publication;
    publication.removed = choose_merge(*version().files, options);
    if (publication.removed.empty()) return {};
    const auto began = std::chrono::steady_clock::now();
    StoredFilePointer damaged;
    const auto merged = merge_files(folder_, metrics_, publication.removed, options, stop, damaged);
    if (!merged) {
      if (merged.error().code == ErrorCode::kCancelled) return {};
      if (!damaged) return merged.error();
      note_damage(*damaged, merged.error());
      continue;  // without it
    }
    if (*merged) publication.added.push_back(**merged);
    const std::size_t inputs = publication.removed.size();
    const auto published = publish(std::move(publication));
    if (!published) return published;
    store_metrics_.merged(inputs, std::chrono::steady_clock::now() - began);
  }
  return {};
}

void Store::scrub(std::stop_token stop) {
  const auto now = clock_.steady_now();
  std::map<std::string, SteadyTime> verified;
  StoredFilePointer due;
  for (const auto& file : version().files->files()) {
    const auto found = verified_.find(file->entry().name());
    if (found != verified_.end()) verified.insert(*found);
    const bool recent = found != verified_.end() && now - found->second < kVerifyEvery;
    if (!recent && !due) due = file;
  }
  verified_ = std::move(verified);
  if (!due || stop.stop_requested()) return;
  const auto mended = due->reader().mend(files_);
  for (const std::string& damage : mended.damage) {
    store_metrics_.damaged();
    if (mended.written) {
      observability::log_error("a file of the store was damaged, and is whole again",
                               {{"damage", damage}});
    } else {
      observability::log_error(
          "a file of the store is damaged, at no cost yet, and cannot be mended",
          {{"damage", damage}, {"error", mended.written.error().message}});
    }
  }
  const std::set<std::string> costs_nothing(mended.damage.begin(), mended.damage.end());
  for (const std::string& damage : due->reader().verify()) {
    if (!costs_nothing.contains(damage)) note_damage(*due, corrupt(damage));
  }
  verified_[due->entry().name()] = now;
}

// Who used a GPU is told as far back as there are samples.
Result<void> Store::prune_attribution() {
  const auto now = clock_.steady_now();
  if (attribution_pruned_ && now - *attribution_pruned_ < kPruneEvery) return {};
  const Version current = version();
  std::int64_t before = cutoff();
  for (const auto& head : {current.frozen, current.active}) {
    if (head) before = std::min(before, head->earliest());
  }
  for (const auto& file : current.files->files()) before = std::min(before, file->first());
  const auto pruned = registry_->prune(from_unix_milliseconds(before));
  if (pruned) attribution_pruned_ = now;
  return pruned;
}

Result<void> Store::maintain() { return maintain(std::stop_token{}); }

Result<void> Store::maintain(std::stop_token stop) {
  const std::lock_guard maintaining(merge_mutex_);
  if (!options_.background) {
    const auto sealed = seal_frozen(stop);
    if (!sealed) return sealed;
  }
  const auto expired = expire();
  if (!expired) return expired;
  const auto merged = merge(stop);
  scrub(stop);
  const auto pruned = prune_attribution();
  return merged ? pruned : merged;
}

void Store::start_threads() {
  sealer_ = std::jthread([this](const std::stop_token& stop) { run_sealer(stop); });
  maintainer_ = std::jthread([this](const std::stop_token& stop) { run_maintainer(stop); });
}

void Store::run_sealer(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(version_mutex_);
      version_changed_.wait(lock, stop, [&] { return version_.frozen != nullptr; });
    }
    if (stop.stop_requested() || seal_frozen(stop)) continue;
    std::unique_lock lock(version_mutex_);
    version_changed_.wait_for(lock, stop, kSealRetry, [] { return false; });
  }
}

void Store::run_maintainer(const std::stop_token& stop) {
  observability::LogLimiter limiter;
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(version_mutex_);
      version_changed_.wait_for(lock, stop, options_.maintenance_interval, [] { return false; });
    }
    if (stop.stop_requested()) return;
    const auto maintained = maintain(stop);
    if (maintained || stop.stop_requested()) continue;
    limiter.log(observability::LogLevel::kError, "maintenance of the store failed; trying again",
                {{"error", maintained.error().message}});
  }
}

}  // namespace gpu_telemetry::storage::embedded
