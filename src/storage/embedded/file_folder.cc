#include "storage/embedded/file_folder.h"

#include <algorithm>

#include "observability/log.h"

namespace gpu_telemetry::storage::embedded {

namespace {

constexpr std::string_view kTemporarySuffix = ".tmp";

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

FileMetrics::FileMetrics(const MetricTable& table, const std::vector<std::uint32_t>& ids) {
  const auto names = table.names(ids);
  std::vector<std::pair<std::string_view, std::uint32_t>> sorted;
  for (std::size_t i = 0; i < ids.size(); ++i) sorted.emplace_back(names[i], ids[i]);
  std::sort(sorted.begin(), sorted.end());
  numbers_.resize(table.size(), 0);
  for (const auto& [name, id] : sorted) {
    numbers_[id] = static_cast<std::uint32_t>(names_.size());
    names_.emplace_back(name);
    ids_.push_back(id);
  }
}

FileFolder::FileFolder(io::FileSystem& files, const std::string& path, MetricTable& metrics)
    : files_(files), folder_(path + "/files"), damaged_(path + "/damaged"), metrics_(metrics) {}

Result<void> FileFolder::create() { return files_.create_directories(folder_); }

Result<std::vector<std::string>> FileFolder::list() { return files_.list(folder_); }

Result<bool> FileFolder::write(const FileEntry& entry, const FileMetrics& metrics,
                               Timestamp stored_at,
                               const std::function<Result<bool>(SeriesFileWriter&)>& fill) {
  const std::string path = path_of(entry.name() + std::string(kTemporarySuffix));
  // What an earlier attempt that failed may have left.
  const auto removed = files_.remove(path);
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed.error();
  const auto attempt = [&]() -> Result<bool> {
    auto writer = SeriesFileWriter::create(files_, path, metrics.names(), stored_at);
    if (!writer) return writer.error();
    const auto filled = fill(**writer);
    if (!filled || !*filled) return filled;
    const auto summary = (*writer)->finish();
    if (!summary) return summary.error();
    return true;
  };
  const auto written = attempt();
  if (!written || !*written) {
    const auto cleaned = files_.remove(path);
    if (!cleaned && cleaned.error().code != ErrorCode::kNotFound) {
      observability::log_warn("an unfinished file stays behind until the store is opened again",
                              {{"path", path}, {"error", cleaned.error().message}});
    }
  }
  return written;
}

Result<void> FileFolder::publish(std::span<const FileEntry> entries) {
  for (const FileEntry& entry : entries) {
    const std::string path = path_of(entry.name());
    const auto renamed = files_.rename(path + std::string(kTemporarySuffix), path);
    if (!renamed) return renamed;
  }
  return entries.empty() ? Result<void>() : sync();
}

Result<StoredFilePointer> FileFolder::open(const FileEntry& entry) {
  auto reader = SeriesFileReader::open(files_, path_of(entry.name()));
  if (!reader) return reader.error();
  std::vector<std::string> names((*reader)->metric_names().begin(),
                                 (*reader)->metric_names().end());
  std::vector<std::uint32_t> ids;
  const auto resolved = metrics_.resolve(names, ids);
  if (!resolved) return resolved.error();
  return std::make_shared<const StoredFile>(entry, std::move(*reader), std::move(ids));
}

Result<void> FileFolder::remove(const std::string& name) { return files_.remove(path_of(name)); }

Result<void> FileFolder::set_aside(const std::string& name) {
  return set_file_aside(files_, path_of(name), damaged_);
}

Result<void> FileFolder::sync() { return files_.sync_directory(folder_); }

Result<void> set_file_aside(io::FileSystem& files, const std::string& path,
                            const std::string& damaged) {
  const auto created = files.create_directories(damaged);
  if (!created) return created;
  const std::string name = path.substr(path.rfind('/') + 1);
  std::string target = damaged + "/" + name;
  for (int n = 1; n < 1000; ++n) {
    const auto taken = files.exists(target);
    if (!taken) return taken.error();
    if (!*taken) break;
    target = damaged + "/" + name + "." + std::to_string(n);
  }
  const auto moved = files.rename(path, target);
  if (!moved) return moved;
  const auto synced = files.sync_directory(damaged);
  if (!synced) return synced;
  return files.sync_directory(folder_of(path));
}

}  // namespace gpu_telemetry::storage::embedded
