#include "io/simulated_file_system.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <utility>

namespace gpu_telemetry::io {
namespace {

constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max() / 4;

// Bytes of a file, in pages that exist only once something other than zeros was written to them, so
// that a preallocated segment costs nothing.
class SparseBytes {
 public:
  std::uint64_t size() const { return size_; }

  void resize(std::uint64_t size) {
    if (size < size_) {
      pages_.erase(pages_.lower_bound((size + kPage - 1) / kPage), pages_.end());
      if (const auto last = pages_.find(size / kPage); last != pages_.end()) {
        std::fill(last->second.begin() + static_cast<std::ptrdiff_t>(size % kPage),
                  last->second.end(), '\0');
      }
    }
    size_ = size;
  }

  void write(std::uint64_t offset, std::string_view bytes) {
    size_ = std::max(size_, offset + bytes.size());
    while (!bytes.empty()) {
      const std::uint64_t within = offset % kPage;
      const auto size =
          static_cast<std::size_t>(std::min<std::uint64_t>(kPage - within, bytes.size()));
      auto [page, is_new] = pages_.try_emplace(offset / kPage);
      if (is_new) page->second.fill('\0');
      std::memcpy(page->second.data() + within, bytes.data(), size);
      offset += size;
      bytes.remove_prefix(size);
    }
  }

  std::size_t read(std::uint64_t offset, char* out, std::size_t size) const {
    if (offset >= size_) return 0;
    size = static_cast<std::size_t>(std::min<std::uint64_t>(size, size_ - offset));
    for (std::size_t done = 0; done < size;) {
      const std::uint64_t at = offset + done;
      const auto part =
          static_cast<std::size_t>(std::min<std::uint64_t>(kPage - at % kPage, size - done));
      if (const auto page = pages_.find(at / kPage); page != pages_.end()) {
        std::memcpy(out + done, page->second.data() + at % kPage, part);
      } else {
        std::memset(out + done, 0, part);
      }
      done += part;
    }
    return size;
  }

 private:
  static constexpr std::uint64_t kPage = 4096;
  std::uint64_t size_ = 0;
  std::map<std::uint64_t, std::array<char, kPage>> pages_;
};

// A change of a file's bytes that no sync has covered yet.
struct FileChange {
  enum class Kind { kWrite, kTruncate, kGrow } kind = Kind::kWrite;
  std::uint64_t offset = 0;  // or the new size
  std::string bytes;

  void apply(SparseBytes& to) const {
    if (kind == Kind::kWrite) to.write(offset, bytes);
    if (kind == Kind::kTruncate || (kind == Kind::kGrow && to.size() < offset)) to.resize(offset);
  }
};

struct Inode {
  SparseBytes now;
  SparseBytes durable;
  std::vector<FileChange> unsynced;

  void change(FileChange change) {
    change.apply(now);
    unsynced.push_back(std::move(change));
  }
  void make_durable() {
    for (const FileChange& change : unsynced) change.apply(durable);
    unsynced.clear();
  }
};
using InodePointer = std::shared_ptr<Inode>;
using Names = std::map<std::string, InodePointer>;

// A change of names that no sync of its folder has covered yet: `removed` goes, `added` comes.
struct NameChange {
  std::string removed;
  std::string added;
  InodePointer inode;

  bool is_in(const std::string& folder) const {
    return (!removed.empty() && parent_folder(removed) == folder) ||
           (!added.empty() && parent_folder(added) == folder);
  }
  void apply(Names& names) const {
    if (!removed.empty()) names.erase(removed);
    if (!added.empty()) names[added] = inode;
  }
};

std::string normal(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// Counts down to an arranged event.
class Countdown {
 public:
  void arrange(std::uint64_t nth) { left_ = nth; }
  void withdraw() { left_ = 0; }
  bool strikes() { return left_ != 0 && --left_ == 0; }

 private:
  std::uint64_t left_ = 0;
};

}  // namespace

struct SimulatedFileSystem::State {
  mutable std::mutex mutex;
  std::uint64_t boot = 1;  // files and locks of an earlier boot are dead
  bool off = false;
  std::uint64_t operations = 0;
  std::uint64_t data_syncs = 0;
  std::uint64_t bytes_written = 0;
  Countdown cut;
  Countdown failing_sync;
  Countdown failing_directory_sync;
  Countdown failing_write;
  std::uint64_t space_left = kUnlimited;
  std::function<void()> on_sync;

  Names names;
  Names durable_names;
  std::vector<NameChange> unsynced_names;
  std::set<std::string> folders{"/", "."};
  std::set<std::string> locked;

  // All below are called with the mutex held.

  static Error no_power(const std::string& path) {
    return unavailable(path + ": the power is off");
  }

  Result<void> check(const std::string& path, std::uint64_t of_boot) const {
    if (off || of_boot != boot) return no_power(path);
    return {};
  }

  // Before a mutating operation. True: the power fails during it, so it counts as unsynced and
  // fails.
  bool power_fails() {
    ++operations;
    if (cut.strikes()) off = true;
    return off;
  }

  Result<InodePointer> find(const std::string& path) const {
    const auto found = names.find(path);
    if (found == names.end()) return not_found(path + ": cannot open: No such file or directory");
    return found->second;
  }

  void change_names(NameChange change) {
    change.apply(names);
    unsynced_names.push_back(std::move(change));
  }

  Result<void> take_space(const std::string& path, const Inode& inode, std::uint64_t new_size) {
    const std::uint64_t size = inode.now.size();
    if (new_size <= size) return {};
    if (new_size - size > space_left) {
      return full(path + ": cannot write: No space left on device");
    }
    space_left -= new_size - size;
    return {};
  }

  void give_space(std::uint64_t bytes) { space_left = std::min(kUnlimited, space_left + bytes); }
};

namespace {

class SimulatedFile final : public File {
 public:
  SimulatedFile(std::shared_ptr<SimulatedFileSystem::State> state, std::string path,
                InodePointer inode, bool writable)
      : state_(std::move(state)),
        path_(std::move(path)),
        inode_(std::move(inode)),
        writable_(writable),
        boot_(state_->boot) {}

  Result<std::size_t> read_at(std::uint64_t offset, void* out, std::size_t size) const override {
    std::lock_guard lock(state_->mutex);
    if (auto usable = state_->check(path_, boot_); !usable) return usable.error();
    return inode_->now.read(offset, static_cast<char*>(out), size);
  }

  Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) override {
    std::string bytes;
    for (const std::string_view piece : pieces) bytes += piece;
    std::lock_guard lock(state_->mutex);
    if (auto usable = check_writable(); !usable) return usable;
    if (auto space = state_->take_space(path_, *inode_, offset + bytes.size()); !space) {
      ++state_->operations;
      return space;
    }
    const bool power_fails = state_->power_fails();
    const bool fails = !power_fails && state_->failing_write.strikes();
    if (fails) bytes.resize(bytes.size() / 2);
    state_->bytes_written += bytes.size();
    inode_->change({FileChange::Kind::kWrite, offset, std::move(bytes)});
    if (power_fails) return SimulatedFileSystem::State::no_power(path_);
    if (fails) return unavailable(path_ + ": cannot write: Input/output error");
    return {};
  }

  Result<void> sync_data() override {
    std::function<void()> hook;
    {
      std::lock_guard lock(state_->mutex);
      hook = state_->on_sync;
    }
    if (hook) hook();
    std::lock_guard lock(state_->mutex);
    if (auto usable = state_->check(path_, boot_); !usable) return usable;
    if (state_->power_fails()) return SimulatedFileSystem::State::no_power(path_);
    if (state_->failing_sync.strikes()) {
      inode_->unsynced.clear();
      return unavailable(path_ + ": cannot sync: Input/output error");
    }
    ++state_->data_syncs;
    inode_->make_durable();
    return {};
  }

  Result<void> preallocate(std::uint64_t size) override {
    std::lock_guard lock(state_->mutex);
    if (auto usable = check_writable(); !usable) return usable;
    const auto space = state_->take_space(path_, *inode_, size);
    const bool power_fails = state_->power_fails();
    if (space) inode_->change({FileChange::Kind::kGrow, size, {}});
    if (power_fails) return SimulatedFileSystem::State::no_power(path_);
    return space;
  }

  Result<void> truncate(std::uint64_t size) override {
    std::lock_guard lock(state_->mutex);
    if (auto usable = check_writable(); !usable) return usable;
    const std::uint64_t before = inode_->now.size();
    if (auto space = state_->take_space(path_, *inode_, size); !space) {
      ++state_->operations;
      return space;
    }
    if (size < before) state_->give_space(before - size);
    const bool power_fails = state_->power_fails();
    inode_->change({FileChange::Kind::kTruncate, size, {}});
    if (power_fails) return SimulatedFileSystem::State::no_power(path_);
    return {};
  }

  Result<std::uint64_t> size() const override {
    std::lock_guard lock(state_->mutex);
    if (auto usable = state_->check(path_, boot_); !usable) return usable.error();
    return inode_->now.size();
  }

 private:
  Result<void> check_writable() const {
    if (!writable_) return unavailable(path_ + ": cannot write: Bad file descriptor");
    return state_->check(path_, boot_);
  }

  const std::shared_ptr<SimulatedFileSystem::State> state_;
  const std::string path_;
  const InodePointer inode_;
  const bool writable_;
  const std::uint64_t boot_;
};

class SimulatedMappedFile final : public MappedFile {
 public:
  explicit SimulatedMappedFile(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string_view bytes() const override { return bytes_; }

 private:
  const std::string bytes_;
};

class SimulatedFileLock final : public FileLock {
 public:
  SimulatedFileLock(std::shared_ptr<SimulatedFileSystem::State> state, std::string path)
      : state_(std::move(state)), path_(std::move(path)), boot_(state_->boot) {}
  SimulatedFileLock(const SimulatedFileLock&) = delete;
  SimulatedFileLock& operator=(const SimulatedFileLock&) = delete;
  ~SimulatedFileLock() override {
    std::lock_guard lock(state_->mutex);
    if (boot_ == state_->boot) state_->locked.erase(path_);
  }

 private:
  const std::shared_ptr<SimulatedFileSystem::State> state_;
  const std::string path_;
  const std::uint64_t boot_;
};

// Lets `change` reach the disk as far as chance has it.
void apply_by_chance(const FileChange& change, bool by_sector, std::mt19937_64& random,
                     SparseBytes& to) {
  if (!by_sector || change.kind != FileChange::Kind::kWrite) {
    if (random() & 1) change.apply(to);
    return;
  }
  const std::string_view bytes = change.bytes;
  for (std::uint64_t at = 0; at < bytes.size();) {
    const std::uint64_t size =
        std::min<std::uint64_t>(kSector - (change.offset + at) % kSector, bytes.size() - at);
    if (random() & 1) to.write(change.offset + at, bytes.substr(at, size));
    at += size;
  }
}

}  // namespace

SimulatedFileSystem::SimulatedFileSystem() : state_(std::make_shared<State>()) {}
SimulatedFileSystem::~SimulatedFileSystem() = default;

std::uint64_t SimulatedFileSystem::operations() const {
  std::lock_guard lock(state_->mutex);
  return state_->operations;
}

void SimulatedFileSystem::cut_at(std::uint64_t nth_from_now) {
  std::lock_guard lock(state_->mutex);
  state_->cut.arrange(nth_from_now);
}

void SimulatedFileSystem::cut() {
  std::lock_guard lock(state_->mutex);
  state_->off = true;
}

bool SimulatedFileSystem::is_off() const {
  std::lock_guard lock(state_->mutex);
  return state_->off;
}

void SimulatedFileSystem::reboot(PowerCut what, std::uint64_t seed) {
  std::lock_guard lock(state_->mutex);
  State& state = *state_;
  std::mt19937_64 random(seed);

  std::size_t kept_names = 0;
  if (what == PowerCut::kKeepAll) kept_names = state.unsynced_names.size();
  if (what == PowerCut::kKeepSomeWrites || what == PowerCut::kTearSectors) {
    kept_names = random() % (state.unsynced_names.size() + 1);
  }
  for (std::size_t i = 0; i < kept_names; ++i) {
    state.unsynced_names[i].apply(state.durable_names);
  }
  state.unsynced_names.clear();

  for (auto& [path, inode] : state.durable_names) {
    if (what == PowerCut::kKeepAll) inode->make_durable();
    if (what == PowerCut::kKeepSomeWrites || what == PowerCut::kTearSectors) {
      for (const FileChange& change : inode->unsynced) {
        apply_by_chance(change, what == PowerCut::kTearSectors, random, inode->durable);
      }
    }
    inode->unsynced.clear();
    inode->now = inode->durable;
  }
  state.names = state.durable_names;
  state.locked.clear();
  state.cut.withdraw();
  state.failing_sync.withdraw();
  state.failing_directory_sync.withdraw();
  state.failing_write.withdraw();
  state.space_left = kUnlimited;
  state.off = false;
  ++state.boot;
}

void SimulatedFileSystem::fail_sync(std::uint64_t nth_from_now) {
  std::lock_guard lock(state_->mutex);
  state_->failing_sync.arrange(nth_from_now);
}

void SimulatedFileSystem::fail_directory_sync(std::uint64_t nth_from_now) {
  std::lock_guard lock(state_->mutex);
  state_->failing_directory_sync.arrange(nth_from_now);
}

void SimulatedFileSystem::fail_write(std::uint64_t nth_from_now) {
  std::lock_guard lock(state_->mutex);
  state_->failing_write.arrange(nth_from_now);
}

void SimulatedFileSystem::set_free_space(std::uint64_t bytes) {
  std::lock_guard lock(state_->mutex);
  state_->space_left = std::min(bytes, kUnlimited);
}

void SimulatedFileSystem::damage(const std::string& path, std::uint64_t offset, std::uint8_t flip) {
  std::lock_guard lock(state_->mutex);
  const InodePointer inode = *state_->find(normal(path));
  for (SparseBytes* bytes : {&inode->now, &inode->durable}) {
    char byte = 0;
    if (bytes->read(offset, &byte, 1) != 1) continue;
    byte = static_cast<char>(static_cast<std::uint8_t>(byte) ^ flip);
    bytes->write(offset, {&byte, 1});
  }
}

std::uint64_t SimulatedFileSystem::data_syncs() const {
  std::lock_guard lock(state_->mutex);
  return state_->data_syncs;
}

std::uint64_t SimulatedFileSystem::bytes_written() const {
  std::lock_guard lock(state_->mutex);
  return state_->bytes_written;
}

void SimulatedFileSystem::on_sync(std::function<void()> hook) {
  std::lock_guard lock(state_->mutex);
  state_->on_sync = std::move(hook);
}

Result<std::unique_ptr<File>> SimulatedFileSystem::open(const std::string& given, OpenMode mode) {
  const std::string path = normal(given);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(path, state_->boot); !usable) return usable.error();
  if (mode == OpenMode::kCreate) {
    if (!state_->folders.contains(parent_folder(path))) {
      return not_found(path + ": cannot open: No such file or directory");
    }
    if (state_->names.contains(path) || state_->folders.contains(path)) {
      return conflict(path + ": cannot open: File exists");
    }
    const bool power_fails = state_->power_fails();
    state_->change_names({{}, path, std::make_shared<Inode>()});
    if (power_fails) return State::no_power(path);
  }
  auto inode = state_->find(path);
  if (!inode) return inode.error();
  return std::make_unique<SimulatedFile>(state_, path, *inode, mode != OpenMode::kRead);
}

Result<std::unique_ptr<MappedFile>> SimulatedFileSystem::map(const std::string& given) {
  const std::string path = normal(given);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(path, state_->boot); !usable) return usable.error();
  const auto inode = state_->find(path);
  if (!inode) return inode.error();
  std::string bytes(static_cast<std::size_t>((*inode)->now.size()), '\0');
  (*inode)->now.read(0, bytes.data(), bytes.size());
  return std::make_unique<SimulatedMappedFile>(std::move(bytes));
}

Result<void> SimulatedFileSystem::create_directories(const std::string& given) {
  const std::string path = normal(given);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(path, state_->boot); !usable) return usable;
  if (state_->folders.contains(path)) return {};
  if (state_->power_fails()) return State::no_power(path);
  for (std::string folder = path; !state_->folders.contains(folder);
       folder = parent_folder(folder)) {
    if (state_->names.contains(folder)) {
      return conflict(folder + ": cannot create the folder: File exists");
    }
    state_->folders.insert(folder);
  }
  return {};
}

Result<std::vector<std::string>> SimulatedFileSystem::list(const std::string& given) {
  const std::string path = normal(given);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(path, state_->boot); !usable) return usable.error();
  if (!state_->folders.contains(path)) {
    return not_found(path + ": cannot list: No such file or directory");
  }
  std::vector<std::string> found;
  const auto add = [&](const std::string& entry) {
    if (entry != path && parent_folder(entry) == path) {
      found.push_back(entry.substr(entry.rfind('/') + 1));
    }
  };
  for (const auto& [name, inode] : state_->names) add(name);
  for (const std::string& folder : state_->folders) {
    if (folder != "." && folder != "/") add(folder);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<bool> SimulatedFileSystem::exists(const std::string& given) {
  const std::string path = normal(given);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(path, state_->boot); !usable) return usable.error();
  return state_->names.contains(path) || state_->folders.contains(path);
}

Result<void> SimulatedFileSystem::rename(const std::string& given_from,
                                         const std::string& given_to) {
  const std::string from = normal(given_from);
  const std::string to = normal(given_to);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(from, state_->boot); !usable) return usable;
  const auto inode = state_->find(from);
  if (!inode) return inode.error();
  if (!state_->folders.contains(parent_folder(to))) {
    return not_found(to + ": cannot rename: No such file or directory");
  }
  const bool power_fails = state_->power_fails();
  if (const auto replaced = state_->names.find(to);
      replaced != state_->names.end() && replaced->second != *inode) {
    state_->give_space(replaced->second->now.size());
  }
  if (from != to) state_->change_names({from, to, *inode});
  if (power_fails) return State::no_power(from);
  return {};
}

Result<void> SimulatedFileSystem::remove(const std::string& given) {
  const std::string path = normal(given);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(path, state_->boot); !usable) return usable;
  const auto inode = state_->find(path);
  if (!inode) return not_found(path + ": cannot remove: No such file or directory");
  const bool power_fails = state_->power_fails();
  state_->give_space((*inode)->now.size());
  state_->change_names({path, {}, nullptr});
  if (power_fails) return State::no_power(path);
  return {};
}

Result<void> SimulatedFileSystem::sync_directory(const std::string& given) {
  const std::string path = normal(given);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(path, state_->boot); !usable) return usable;
  if (!state_->folders.contains(path)) {
    return not_found(path + ": cannot sync the folder: No such file or directory");
  }
  if (state_->power_fails()) return State::no_power(path);
  if (state_->failing_directory_sync.strikes()) {
    return unavailable(path + ": cannot sync the folder: Input/output error");
  }
  std::erase_if(state_->unsynced_names, [&](const NameChange& change) {
    if (!change.is_in(path)) return false;
    change.apply(state_->durable_names);
    return true;
  });
  return {};
}

Result<std::unique_ptr<FileLock>> SimulatedFileSystem::lock(const std::string& given) {
  const std::string path = normal(given);
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(path, state_->boot); !usable) return usable.error();
  if (!state_->folders.contains(parent_folder(path))) {
    return not_found(path + ": cannot open: No such file or directory");
  }
  if (!state_->locked.insert(path).second) {
    return conflict(path + ": is locked by another process; stop it, or use another folder");
  }
  if (!state_->names.contains(path)) {
    const auto inode = std::make_shared<Inode>();
    state_->names[path] = inode;
    state_->durable_names[path] = inode;
  }
  return std::make_unique<SimulatedFileLock>(state_, path);
}

Result<std::uint64_t> SimulatedFileSystem::free_space(const std::string& given) {
  std::lock_guard lock(state_->mutex);
  if (auto usable = state_->check(given, state_->boot); !usable) return usable.error();
  return state_->space_left;
}

}  // namespace gpu_telemetry::io
