// Opening a store: from what is on disk to a version that can be asked and written.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "observability/log.h"
#include "storage/embedded/store.h"
#include "storage/embedded/wal_check.h"

namespace gpu_telemetry::storage::embedded {

namespace {

constexpr ByteSize kSmallestSegment = 256_KiB;

// Who was seen in the batches of a journal, and when.
class Seen {
 public:
  void add(const TelemetryBatch& batch) {
    for (const Scrape& scrape : batch.scrapes) {
      const GpuPointer& gpu = batch.gpus[scrape.gpu];
      auto& observations = by_gpu_[gpu->uuid];
      if (observations.empty() || *observations.back().gpu != *gpu) {
        observations.push_back({gpu, scrape.timestamp, scrape.timestamp});
      }
      GpuObservation& last = observations.back();
      last.from = std::min(last.from, scrape.timestamp);
      last.to = std::max(last.to, scrape.timestamp);
    }
  }
  // What the registry does not know yet. It is told of most before a crash.
  std::vector<GpuObservation> unknown_to(const GpuRegistry& registry) const {
    std::vector<GpuObservation> unknown;
    for (const auto& [uuid, observations] : by_gpu_) {
      const auto known = registry.find(uuid);
      for (const GpuObservation& each : observations) {
        if (!known || known->last_seen < each.to) unknown.push_back(each);
      }
    }
    return unknown;
  }

 private:
  std::map<GpuUuid, std::vector<GpuObservation>> by_gpu_;
};

// A record is at most a quarter of a segment, and a segment should hold about half a head.
ByteSize segment_size(ByteSize head) {
  return std::clamp(head, kSmallestSegment, ByteSize{64_MiB});
}

}  // namespace

Result<void> Store::recover(OpenReport& report) {
  const auto created = files_.create_directories(options_.path);
  if (!created) return created.error().at("store");
  auto lock = files_.lock(options_.path + "/LOCK");
  if (!lock) {
    if (lock.error().code != ErrorCode::kConflict) return lock.error();
    return conflict(fmt::format(
        "the store {} is open in another process; an embedded store belongs to one process at a "
        "time (stop the other one, or use MongoDB for several)",
        options_.path));
  }
  lock_ = std::move(*lock);
  const auto folder = folder_.create();
  if (!folder) return folder;
  const auto rebuild = open_catalogue(report);
  if (!rebuild) return rebuild.error();
  const auto files = open_files(*rebuild, report);
  if (!files) return files;
  if (*rebuild) {
    const auto gpus = rebuild_gpus();
    if (!gpus) return gpus;
  }
  return open_journal(report);
}

// Returns whether the list of files has to be made anew from the folder.
Result<bool> Store::open_catalogue(OpenReport& report) {
  const std::string path = options_.path + "/catalogue.db";
  auto log_damage = damage_of_wal(files_, path + "-wal");
  if (!log_damage) return log_damage.error();
  const bool log_damaged = !log_damage->empty();
  if (log_damaged) {
    report.damage.push_back("catalogue: " + std::move(*log_damage) +
                            "; the files are found without it, GPUs' attributes and attribution "
                            "return with their next scrapes");
  }
  bool created = false;
  const auto attempt = [&]() -> Result<void> {
    auto catalogue = Catalogue::open(files_, path, created);
    if (!catalogue) return catalogue.error();
    catalogue_ = std::move(*catalogue);
    for (const std::string& mended : catalogue_->mended()) {
      report.damage.push_back("catalogue: " + mended);
    }
    auto registry = GpuRegistry::load(*catalogue_);
    if (!registry) return registry.error();
    registry_ = std::move(*registry);
    return {};
  };
  auto opened = attempt();
  const bool damaged = !opened && opened.error().code == ErrorCode::kCorrupt;
  if (damaged) {
    report.damage.push_back("catalogue: " + opened.error().message +
                            "; it is set aside and made anew from the files, GPUs' attributes and "
                            "attribution return with their next scrapes");
    registry_.reset();
    catalogue_.reset();
    for (const char* suffix : {"", "-copy", "-wal", "-journal"}) {
      const auto exists = files_.exists(path + suffix);
      if (!exists) return exists.error();
      if (!*exists) continue;
      const auto moved = set_file_aside(files_, path + suffix, options_.path + "/damaged");
      if (!moved) return moved.error();
    }
    opened = attempt();
  }
  if (!opened) return opened.error();
  if (!created || damaged) return created || log_damaged;
  const auto names = folder_.list();
  if (!names) return names.error();
  FileEntry entry;
  const bool lost = std::any_of(names->begin(), names->end(), [&](const std::string& name) {
    return FileEntry::from_name(name, entry);
  });
  if (lost) {
    report.damage.push_back(
        "catalogue: " + path +
        " is missing; it is made anew from the files, GPUs' attributes and attribution return with "
        "their next scrapes");
  }
  return lost;
}

Result<void> Store::open_files(bool rebuild, OpenReport& report) {
  const auto names = folder_.list();
  if (!names) return names.error();
  const auto listed = catalogue_->files();
  if (!listed) return listed.error();
  std::map<std::string, FileEntry> expected;
  for (const FileEntry& entry : *listed) expected.emplace(entry.name(), entry);

  std::vector<StoredFilePointer> files;
  CatalogueChange change;
  std::uint64_t last_sequence = 0;
  bool removed_any = false;
  for (const std::string& name : *names) {
    FileEntry entry;
    const bool ours = FileEntry::from_name(name, entry);
    if (ours) last_sequence = std::max(last_sequence, entry.sequence);
    const bool known = expected.erase(name) > 0;
    if (!ours) {
      if (!name.ends_with(".tmp")) {
        observability::log_warn("a file in the store is none of its own; it is left alone",
                                {{"path", folder_.path_of(name)}});
        continue;
      }
      // It was being made when the process ended.
      const auto removed = folder_.remove(name);
      if (!removed) return removed;
      removed_any = true;
      continue;
    }
    // One that is not listed is read too. Its samples may stand in the journal or in a merged file
    // as well, which changes nothing; or the catalogue has lost what it knew of it.
    auto file = folder_.open(entry);
    if (file) {
      const SeriesFileReader& reader = (*file)->reader();
      if (!reader.damage().empty()) {
        const auto mended = reader.mend(files_);
        const std::string how = mended.written
                                    ? "; mended"
                                    : "; it cannot be mended: " + mended.written.error().message;
        for (const std::string& damage : mended.damage) report.damage.push_back(damage + how);
      }
      entry.version = reader.summary().version;
      files.push_back(std::move(*file));
      if (!known) change.added.push_back(entry);
      continue;
    }
    if (file.error().code != ErrorCode::kCorrupt) return file.error();
    report.damage.push_back(file.error().message + "; it is set aside");
    const auto moved = folder_.set_aside(name);
    if (!moved) return moved;
    if (known) change.removed.push_back(entry);
  }
  for (const auto& [name, entry] : expected) {
    if (!rebuild) {  // else the catalogue may be older than a merge
      report.damage.push_back(folder_.path_of(name) +
                              " is missing, though the catalogue lists it; its samples are lost");
    }
    last_sequence = std::max(last_sequence, entry.sequence);
    change.removed.push_back(entry);
  }
  if (removed_any) {
    const auto synced = folder_.sync();
    if (!synced) return synced;
  }
  if (!change.added.empty() || !change.removed.empty()) {
    const auto committed = catalogue_->commit(change);
    if (!committed) return committed;
  }
  next_sequence_ = last_sequence + 1;
  report.files = files.size();
  version_.files = std::make_shared<const FileSet>(std::move(files));
  version_.active = std::make_shared<Head>();
  return {};
}

Result<void> Store::rebuild_gpus() {
  std::map<GpuUuid, GpuRecord> found;
  for (const auto& file : version_.files->files()) {
    for (const GpuUuid& gpu : file->reader().gpus()) {
      for (const ColumnEntry& column : file->reader().columns(gpu)) {
        const Timestamp first = from_unix_milliseconds(column.first_timestamp);
        const Timestamp last = from_unix_milliseconds(column.last_timestamp);
        auto [place, is_new] = found.try_emplace(gpu);
        GpuRecord& record = place->second;
        if (is_new) {
          record.gpu.uuid = gpu;
          record.first_seen = first;
          record.last_seen = last;
        }
        record.first_seen = std::min(record.first_seen, first);
        record.last_seen = std::max(record.last_seen, last);
      }
    }
  }
  std::vector<GpuRecord> records;
  for (auto& [gpu, record] : found) records.push_back(std::move(record));
  return registry_->restore(records);
}

Result<void> Store::open_journal(OpenReport& report) {
  const auto floor = catalogue_->journal_floor();
  if (!floor) return floor.error();
  JournalOptions journal_options;
  journal_options.directory = options_.path + "/journal";
  journal_options.codec = options_.codec;
  journal_options.files = &files_;
  journal_options.segment_size = segment_size(options_.head_size);
  JournalReport found;
  std::vector<std::uint32_t> metrics;
  Seen seen;
  auto journal = Journal::open(
      journal_options, *floor,
      [&](const TelemetryBatch& batch, std::int64_t stored_at) -> Result<void> {
        const auto resolved = metrics_.resolve(batch.metrics, metrics);
        if (!resolved) return resolved;
        version_.active->insert(batch, metrics, stored_at);
        seen.add(batch);
        return {};
      },
      found);
  if (!journal) return journal.error();
  journal_ = std::move(*journal);
  const auto observed = registry_->observe(seen.unknown_to(*registry_));
  // On a full disk the store can be read all the same.
  if (!observed && observed.error().code != ErrorCode::kFull) return observed;
  report.journal_batches = found.batches;
  report.torn_tail_bytes = found.torn_tail_bytes;
  report.damage.insert(report.damage.end(), found.damage.begin(), found.damage.end());

  if (journal_->current_segment() < *floor) {
    // Its folder was lost. New segments must not be taken for ones that are in files already.
    report.damage.push_back(
        fmt::format("journal: its newest segment is {}, though the catalogue knows of {}; it was "
                    "lost, and what "
                    "was in no file with it",
                    journal_->current_segment(), *floor));
    CatalogueChange change;
    change.journal_floor = journal_->current_segment();
    return catalogue_->commit(change);
  }
  return journal_->release_before(*floor);
}

}  // namespace gpu_telemetry::storage::embedded
