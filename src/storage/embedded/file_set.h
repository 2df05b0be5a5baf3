// The published files of a store, as a query or a merge sees them: a set that never changes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/embedded/metric_table.h"
#include "storage/embedded/samples.h"
#include "storage/embedded/series_file.h"

namespace gpu_telemetry::storage::embedded {

// What the catalogue says of a file. Its name tells it too, so that a lost catalogue can be
// rebuilt.
struct FileEntry {
  std::int64_t partition = 0;  // Unix ms: where its slice of time begins
  std::uint64_t sequence = 0;  // of two files with one key, the greater has the value that counts
  std::uint32_t level = 0;     // 0: sealed from the head; else merged
  std::uint32_t version = kSeriesFileVersion;

  // "<partition>-<sequence>-<level>.gts", numbers in hexadecimal of fixed width.
  std::string name() const;
  // False when the name has another form.
  static bool from_name(std::string_view name, FileEntry& entry);
  friend bool operator==(const FileEntry&, const FileEntry&) = default;
};

// An open file.
class StoredFile {
 public:
  StoredFile(FileEntry entry, std::shared_ptr<const SeriesFileReader> reader,
             std::vector<std::uint32_t> metric_ids);

  const FileEntry& entry() const { return entry_; }
  const SeriesFileReader& reader() const { return *reader_; }
  // The store's numbers of the file's metrics, by the file's own.
  const std::vector<std::uint32_t>& metric_ids() const { return metric_ids_; }
  std::int64_t first() const { return unix_milliseconds(reader_->summary().first); }
  std::int64_t last() const { return unix_milliseconds(reader_->summary().last); }
  std::int64_t stored_at() const { return unix_milliseconds(reader_->stored_at()); }

  // The earliest timestamp of it that has not expired when everything stored before `cutoff` has.
  std::int64_t shown_from(std::int64_t cutoff) const {
    return stored_at() >= cutoff ? kMinTime : cutoff;
  }

  // Damage was found in a column: it is read on as far as it can be, and never merged into another
  // file or taken for whole. Returns whether that is news.
  bool mark_damaged() const { return !damaged_.exchange(true); }
  bool damaged() const { return damaged_; }

 private:
  const FileEntry entry_;
  const std::shared_ptr<const SeriesFileReader> reader_;
  const std::vector<std::uint32_t> metric_ids_;
  mutable std::atomic<bool> damaged_{false};
};

using StoredFilePointer = std::shared_ptr<const StoredFile>;

// Files whose times overlap, directly or through others. Two slices share no point in time.
struct Slice {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::vector<StoredFilePointer> files;  // ascending sequence: later ones overlay earlier ones
};

class FileSet {
 public:
  FileSet() = default;
  explicit FileSet(std::vector<StoredFilePointer> files);

  // Ascending (sequence, level).
  const std::vector<StoredFilePointer>& files() const { return files_; }
  // Ascending in time.
  const std::vector<Slice>& slices() const { return slices_; }

  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t samples() const { return samples_; }

 private:
  std::vector<StoredFilePointer> files_;
  std::vector<Slice> slices_;
  std::uint64_t bytes_ = 0;
  std::uint64_t samples_ = 0;
};

}  // namespace gpu_telemetry::storage::embedded
