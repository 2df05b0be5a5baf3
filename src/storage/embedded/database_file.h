// The file of an SQLite database, kept twice: PATH and PATH-copy.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_system.h"

namespace gpu_telemetry::storage::embedded {

// What is written goes to PATH at once, and to the copy when that is synced: a power cut tears a
// page in one of them only. Pages of kPageSize end with the CRC-32C of the rest, in little-endian
// order, and four zero bytes. A page that differs from its checksum in one file is read from the
// other; one that does so in both is not read: kCorrupt.
//
// A database that neither reserves kReservedBytes in each page nor is marked as kApplication has no
// checksums and no copy: it is the one file at PATH, read and written as it is.
class DatabaseFile final : public io::File {
 public:
  static constexpr std::size_t kPageSize = 4096;
  static constexpr int kReservedBytes = 8;
  static constexpr std::string_view kApplication = "GTSC";  // PRAGMA application_id

  // Makes the files that are missing; without `may_create` only a copy. Each is empty until what it
  // lacks is written to it. Errors: as FileSystem::open.
  static Result<std::unique_ptr<DatabaseFile>> open(io::FileSystem& files, const std::string& path,
                                                    bool may_create);
  // Where the copy of the database at `path` is.
  static std::string copy_of(const std::string& path) { return path + "-copy"; }

  // Whether open() made a file, whose entry in the folder is not durable yet.
  bool is_new() const { return is_new_; }

  // A page that cannot be read in one of the files is read from the other too.
  Result<std::size_t> read_at(std::uint64_t offset, void* out, std::size_t size) const override;
  Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) override;
  // kFull: PATH is synced, and there was no space for the copy, which the next sync completes. No
  // other error is kFull.
  Result<void> sync_data() override;
  Result<void> preallocate(std::uint64_t size) override;
  Result<void> truncate(std::uint64_t size) override;
  // Of the longer one.
  Result<std::uint64_t> size() const override;

  struct Mended {
    // One line for each file of which pages were damaged or lost.
    std::vector<std::string> damage;
    // The file that was not there when the other was; empty: none.
    std::string missing;
    // Pages that are damaged in both.
    std::uint64_t lost_pages = 0;
    // Both files hold the same from here on. False where there is no copy, and when the disk is too
    // full for one.
    bool is_twice = false;
  };
  // Writes what one file lacks, or has damaged, from the other. For a database whose write-ahead
  // log is empty: else a page that a power cut tore is taken for a damaged one.
  Result<Mended> mend();

 private:
  struct Page;

  DatabaseFile(std::string path, std::unique_ptr<io::File> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  Page read_page(const io::File& file, std::uint64_t number) const;
  Result<void> copy_written_pages();
  Result<void> compare_all_pages(std::uint64_t pages, Mended& mended);

  const std::string path_;
  const std::unique_ptr<io::File> file_;
  std::unique_ptr<io::File> copy_;  // null: has none
  bool is_new_ = false;
  bool has_sums_ = false;
  std::string missing_;              // as Mended's
  std::set<std::uint64_t> to_copy_;  // pages that were written since the last sync
};

}  // namespace gpu_telemetry::storage::embedded
