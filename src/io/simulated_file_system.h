// A file system in memory whose power can be cut: the test double of file_system.h.
//
// It keeps two views. The *volatile* one is what a running program sees. The *durable* one is what
// is there after a power cut: bytes of a file get into it with sync_data of that file; creations,
// renames and removals with sync_directory of their folder (folders themselves are durable at once,
// as create_directories promises). A file whose creation was never made durable is gone, synced
// bytes and all; one whose removal was not is back.
//
//   SimulatedFileSystem files;
//   for (std::uint64_t n = 1; ; ++n) {
//     files = fresh...; files.cut_at(n);
//     run(files);                                    // operation n and all after it fail
//     if (!files.is_off()) break;                    // the run ended before its n-th operation
//     files.reboot(PowerCut::kDropUnsynced);
//     expect_everything_acknowledged_is_there(files);
//   }
//
// Thread-safe. Objects it gave out must not outlive it; after a cut they only fail.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "io/file_system.h"

namespace gpu_telemetry::io {

// What of the unsynced survives a power cut.
enum class PowerCut {
  kDropUnsynced,    // nothing
  kKeepAll,         // everything: as when only the process dies
  kKeepSomeWrites,  // each unsynced write or not, by chance; of folder changes, the first few
  kTearSectors,     // the same, but each 512-byte sector of a write for itself
};

class SimulatedFileSystem final : public FileSystem {
 public:
  SimulatedFileSystem();
  ~SimulatedFileSystem() override;

  // --- Power. What changes something is a *mutating operation*: open with kCreate, write_at,
  // sync_data, preallocate, truncate, rename, remove, sync_directory, and create_directories where
  // it creates. They are counted from 1.

  std::uint64_t operations() const;
  // The power fails during the n-th mutating operation from now on (1 is the next): it and whatever
  // is called after it, reading included, fails with kUnavailable. What the failing operation would
  // have done counts as unsynced.
  void cut_at(std::uint64_t nth_from_now);
  // The same, now.
  void cut();
  bool is_off() const;
  // Power returns: the durable view, and of the unsynced what `what` says (decided by `seed`), is
  // the file system from now on. Files and locks from before stay dead. Cuts the power first where
  // it was on; withdraws what cut_at, fail_sync and set_free_space arranged.
  void reboot(PowerCut what = PowerCut::kDropUnsynced, std::uint64_t seed = 1);

  // --- Faults.

  // The n-th sync_data from now on fails with kUnavailable, and what it should have made durable
  // never will be, though it stays readable until the power is cut: as Linux does it.
  void fail_sync(std::uint64_t nth_from_now);
  // The same for sync_directory, whose folder changes stay pending.
  void fail_directory_sync(std::uint64_t nth_from_now);
  // The n-th write_at from now on fails with kUnavailable, its first half written.
  void fail_write(std::uint64_t nth_from_now);
  // From now on files may grow by this many bytes altogether; growth beyond it is kFull. Shrinking
  // and removing give space back.
  void set_free_space(std::uint64_t bytes);
  // Flips bits of a stored byte, in both views. The file must exist and be longer.
  void damage(const std::string& path, std::uint64_t offset, std::uint8_t flip = 0x01);

  // --- Observation.

  std::uint64_t data_syncs() const;  // calls of sync_data that succeeded
  std::uint64_t bytes_written() const;
  // Called by sync_data on the caller's thread, before it does anything: a test holds a sync there
  // while others queue up. Set it while no sync runs.
  void on_sync(std::function<void()> hook);

  // --- FileSystem.

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  // A copy of the bytes as they are now.
  Result<std::unique_ptr<MappedFile>> map(const std::string& path) override;
  Result<void> create_directories(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  // The lock file is durable at once and not counted as an operation.
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
  Result<std::uint64_t> free_space(const std::string& path) override;

  struct State;  // internal

 private:
  std::shared_ptr<State> state_;
};

}  // namespace gpu_telemetry::io
