#include "storage/embedded/overlay_file_system.h"

#include <algorithm>
#include <cstring>

namespace gpu_telemetry::storage::embedded {

namespace {

class OverlayLock final : public io::FileLock {};

class OverlayMap final : public io::MappedFile {
 public:
  explicit OverlayMap(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string_view bytes() const override { return bytes_; }

 private:
  const std::string bytes_;
};

}  // namespace

class OverlayFile final : public io::File {
 public:
  OverlayFile(OverlayFileSystem& files, std::string path, std::unique_ptr<io::File> below)
      : files_(files), path_(std::move(path)), below_(std::move(below)) {}
  OverlayFile(OverlayFileSystem& files, std::string path,
              std::shared_ptr<OverlayFileSystem::Content> content)
      : files_(files), path_(std::move(path)), content_(std::move(content)) {}

  Result<std::size_t> read_at(std::uint64_t offset, void* out, std::size_t size) const override {
    if (!content_) return below_->read_at(offset, out, size);
    const std::lock_guard lock(content_->mutex);
    if (offset >= content_->size) return std::size_t{0};
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(size, content_->size - offset));
    std::memset(out, 0, count);
    if (offset < content_->bytes.size()) {
      const auto stored = std::min<std::uint64_t>(count, content_->bytes.size() - offset);
      std::memcpy(out, content_->bytes.data() + offset, static_cast<std::size_t>(stored));
    }
    return count;
  }

  Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) override {
    const auto ready = make_writable();
    if (!ready) return ready;
    const std::lock_guard lock(content_->mutex);
    for (const std::string_view piece : pieces) {
      const std::uint64_t end = offset + piece.size();
      if (content_->bytes.size() < end) content_->bytes.resize(static_cast<std::size_t>(end));
      std::memcpy(content_->bytes.data() + offset, piece.data(), piece.size());
      content_->size = std::max(content_->size, end);
      offset = end;
    }
    return {};
  }

  Result<void> sync_data() override { return {}; }

  Result<void> preallocate(std::uint64_t size) override {
    const auto ready = make_writable();
    if (!ready) return ready;
    const std::lock_guard lock(content_->mutex);
    content_->size = std::max(content_->size, size);
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    const auto ready = make_writable();
    if (!ready) return ready;
    const std::lock_guard lock(content_->mutex);
    content_->size = size;
    if (content_->bytes.size() > size) content_->bytes.resize(static_cast<std::size_t>(size));
    return {};
  }

  Result<std::uint64_t> size() const override {
    if (!content_) return below_->size();
    const std::lock_guard lock(content_->mutex);
    return content_->size;
  }

 private:
  Result<void> make_writable() {
    if (content_) return {};
    auto content = files_.writable(path_);
    if (!content) return content.error();
    content_ = std::move(*content);
    return {};
  }

  OverlayFileSystem& files_;
  const std::string path_;
  std::unique_ptr<io::File> below_;  // until it is written
  std::shared_ptr<OverlayFileSystem::Content> content_;
};

Result<std::shared_ptr<OverlayFileSystem::Content>> OverlayFileSystem::writable(
    const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(path);
  if (found != files_.end() && found->second) return found->second;
  auto file = below_.open(path, io::OpenMode::kRead);
  if (!file) return file.error();
  const auto size = (*file)->size();
  if (!size) return size.error();
  auto content = std::make_shared<Content>();
  content->bytes.resize(static_cast<std::size_t>(*size));
  const auto read = (*file)->read_at(0, content->bytes.data(), content->bytes.size());
  if (!read) return read.error();
  content->size = *size;
  files_[path] = content;
  return content;
}

Result<std::unique_ptr<io::File>> OverlayFileSystem::open(const std::string& path,
                                                          io::OpenMode mode) {
  std::unique_lock lock(mutex_);
  const auto found = files_.find(path);
  const bool removed = found != files_.end() && !found->second;
  if (found != files_.end() && found->second) {
    if (mode == io::OpenMode::kCreate) return conflict(path + ": exists already");
    return std::unique_ptr<io::File>(std::make_unique<OverlayFile>(*this, path, found->second));
  }
  if (mode == io::OpenMode::kCreate) {
    if (!removed) {
      const auto below = below_.exists(path);
      if (!below) return below.error();
      if (*below) return conflict(path + ": exists already");
    }
    auto content = std::make_shared<Content>();
    files_[path] = content;
    return std::unique_ptr<io::File>(
        std::make_unique<OverlayFile>(*this, path, std::move(content)));
  }
  if (removed) return not_found(path + ": does not exist");
  auto below = below_.open(path, io::OpenMode::kRead);
  if (!below) return below.error();
  return std::unique_ptr<io::File>(std::make_unique<OverlayFile>(*this, path, std::move(*below)));
}

Result<std::unique_ptr<io::MappedFile>> OverlayFileSystem::map(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(path);
  if (found == files_.end()) return below_.map(path);
  if (!found->second) return not_found(path + ": does not exist");
  const std::lock_guard content(found->second->mutex);
  std::string bytes = found->second->bytes;
  bytes.resize(static_cast<std::size_t>(found->second->size));
  return std::unique_ptr<io::MappedFile>(std::make_unique<OverlayMap>(std::move(bytes)));
}

// A folder is there as soon as somebody says so; nothing asks for it but by the files in it.
Result<void> OverlayFileSystem::create_directories(const std::string&) { return {}; }

Result<std::vector<std::string>> OverlayFileSystem::list(const std::string& path) {
  std::vector<std::string> names;
  auto below = below_.list(path);
  if (below) {
    names = std::move(*below);
  } else if (below.error().code != ErrorCode::kNotFound) {
    return below.error();
  }
  const std::lock_guard lock(mutex_);
  const std::string prefix = path + "/";
  for (const auto& [file, content] : files_) {
    if (!file.starts_with(prefix) || file.find('/', prefix.size()) != std::string::npos) continue;
    const std::string name = file.substr(prefix.size());
    std::erase(names, name);
    if (content) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<bool> OverlayFileSystem::exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(path);
  if (found != files_.end()) return found->second != nullptr;
  return below_.exists(path);
}

Result<void> OverlayFileSystem::rename(const std::string& from, const std::string& to) {
  auto content = writable(from);
  if (!content) return content.error();
  const std::lock_guard lock(mutex_);
  files_[to] = std::move(*content);
  files_[from] = nullptr;
  return {};
}

Result<void> OverlayFileSystem::remove(const std::string& path) {
  const auto found = exists(path);
  if (!found) return found.error();
  if (!*found) return not_found(path + ": does not exist");
  const std::lock_guard lock(mutex_);
  files_[path] = nullptr;
  return {};
}

Result<void> OverlayFileSystem::sync_directory(const std::string&) { return {}; }

Result<std::unique_ptr<io::FileLock>> OverlayFileSystem::lock(const std::string&) {
  return std::unique_ptr<io::FileLock>(std::make_unique<OverlayLock>());
}

Result<std::uint64_t> OverlayFileSystem::free_space(const std::string& path) {
  return below_.free_space(path);
}

}  // namespace gpu_telemetry::storage::embedded
