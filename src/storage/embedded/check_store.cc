#include <fmt/format.h>

#include <set>

#include "storage/embedded/catalogue.h"
#include "storage/embedded/embedded_store.h"
#include "storage/embedded/gpu_registry.h"
#include "storage/embedded/journal.h"
#include "storage/embedded/overlay_file_system.h"
#include "storage/embedded/series_file.h"
#include "storage/embedded/wal_check.h"

namespace gpu_telemetry::storage::embedded {

namespace {

// What the catalogue says, as far as it can be read.
struct Listed {
  std::set<std::string> files;
  std::uint64_t journal_floor = 0;
};

Listed check_catalogue(io::FileSystem& overlay, const std::string& path, CheckReport& report) {
  Listed listed;
  const auto log_damage = damage_of_wal(overlay, path + "-wal");
  if (!log_damage) {
    report.damage.push_back("catalogue: " + log_damage.error().message);
  } else if (!log_damage->empty()) {
    report.damage.push_back("catalogue: " + *log_damage);
  }
  const auto attempt = [&]() -> Result<void> {
    bool created = false;
    auto catalogue = Catalogue::open(overlay, path, created);
    if (!catalogue) return catalogue.error();
    for (const std::string& mended : (*catalogue)->mended()) {
      report.damage.push_back("catalogue: " + mended);
    }
    if (created) return corrupt(path + ": is empty or missing");
    const auto registry = GpuRegistry::load(**catalogue);
    if (!registry) return registry.error();
    const auto files = (*catalogue)->files();
    if (!files) return files.error();
    for (const FileEntry& entry : *files) listed.files.insert(entry.name());
    const auto floor = (*catalogue)->journal_floor();
    if (!floor) return floor.error();
    listed.journal_floor = *floor;
    return {};
  };
  const auto checked = attempt();
  if (!checked) report.damage.push_back("catalogue: " + checked.error().message);
  return listed;
}

Result<void> check_files(io::FileSystem& files, const std::string& folder, Listed& listed,
                         CheckReport& report) {
  const auto names = files.list(folder);
  if (!names) {
    return names.error().code == ErrorCode::kNotFound ? Result<void>() : names.error();
  }
  for (const std::string& name : *names) {
    FileEntry entry;
    listed.files.erase(name);
    if (!FileEntry::from_name(name, entry)) continue;
    const auto reader = SeriesFileReader::open(files, folder + "/" + name);
    if (!reader) {
      report.damage.push_back(reader.error().message);
      continue;
    }
    ++report.files;
    report.samples += (*reader)->summary().samples;
    for (std::string& damage : (*reader)->verify()) report.damage.push_back(std::move(damage));
  }
  for (const std::string& name : listed.files) {
    report.damage.push_back(folder + "/" + name + " is missing, though the catalogue lists it");
  }
  return {};
}

Result<void> check_journal(const EmbeddedStoreOptions& options, io::FileSystem& overlay,
                           const Listed& listed, CheckReport& report) {
  JournalOptions journal_options;
  journal_options.directory = options.path + "/journal";
  journal_options.codec = options.codec;
  journal_options.files = &overlay;
  JournalReport found;
  const auto journal = Journal::open(
      journal_options, listed.journal_floor,
      [&](const TelemetryBatch& batch, std::int64_t) -> Result<void> {
        report.samples += batch.samples.size();
        return {};
      },
      found);
  report.journal_records = found.batches;
  for (std::string& damage : found.damage) report.damage.push_back(std::move(damage));
  if (journal) return {};
  if (journal.error().code != ErrorCode::kCorrupt) return journal.error();
  report.damage.push_back("journal: " + journal.error().message);
  return {};
}

}  // namespace

Result<CheckReport> check_store(const EmbeddedStoreOptions& options) {
  if (options.codec == nullptr) return invalid("checking a store needs a codec for its journal");
  io::FileSystem& files = options.files != nullptr ? *options.files : io::posix_file_system();
  const std::string catalogue = options.path + "/catalogue.db";
  for (const std::string& path : {catalogue, options.path + "/journal"}) {
    const auto exists = files.exists(path);
    if (!exists) return exists.error();
    if (*exists) break;
    if (path == catalogue) continue;
    return not_found(options.path + " holds no store: neither catalogue.db nor journal is in it");
  }
  const auto lock = files.lock(options.path + "/LOCK");
  if (!lock) {
    if (lock.error().code != ErrorCode::kConflict) return lock.error();
    return conflict("the store " + options.path +
                    " is open in another process; stop it before checking");
  }
  OverlayFileSystem overlay(files);
  CheckReport report;
  Listed listed = check_catalogue(overlay, catalogue, report);
  const auto series = check_files(files, options.path + "/files", listed, report);
  if (!series) return series.error();
  const auto journal = check_journal(options, overlay, listed, report);
  if (!journal) return journal.error();
  return report;
}

}  // namespace gpu_telemetry::storage::embedded
