#include "storage/embedded/file_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <tuple>

namespace gpu_telemetry::storage::embedded {

namespace {

constexpr std::string_view kSuffix = ".gts";
constexpr std::size_t kNameSize = 16 + 1 + 16 + 1 + 2 + kSuffix.size();

template <class T>
bool read_hex(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc{} && end == text.data() + text.size();
}

bool older(const StoredFilePointer& a, const StoredFilePointer& b) {
  return std::tuple(a->entry().sequence, a->entry().level, a->entry().partition) <
         std::tuple(b->entry().sequence, b->entry().level, b->entry().partition);
}

}  // namespace

std::string FileEntry::name() const {
  return fmt::format("{:016x}-{:016x}-{:02x}{}", static_cast<std::uint64_t>(partition), sequence,
                     level, kSuffix);
}

bool FileEntry::from_name(std::string_view name, FileEntry& entry) {
  if (name.size() != kNameSize || !name.ends_with(kSuffix) || name[16] != '-' || name[33] != '-') {
    return false;
  }
  std::uint64_t partition = 0;
  FileEntry read;
  if (!read_hex(name.substr(0, 16), partition) || !read_hex(name.substr(17, 16), read.sequence) ||
      !read_hex(name.substr(34, 2), read.level)) {
    return false;
  }
  read.partition = static_cast<std::int64_t>(partition);
  if (read.name() != name) return false;
  entry = read;
  return true;
}

StoredFile::StoredFile(FileEntry entry, std::shared_ptr<const SeriesFileReader> reader,
                       std::vector<std::uint32_t> metric_ids)
    : entry_(entry), reader_(std::move(reader)), metric_ids_(std::move(metric_ids)) {}

FileSet::FileSet(std::vector<StoredFilePointer> files) : files_(std::move(files)) {
  std::sort(files_.begin(), files_.end(), older);
  for (const auto& file : files_) {
    bytes_ += file->reader().summary().file_bytes;
    samples_ += file->reader().summary().samples;
  }
  std::vector<StoredFilePointer> by_time = files_;
  std::stable_sort(by_time.begin(), by_time.end(),
                   [](const StoredFilePointer& a, const StoredFilePointer& b) {
                     return a->first() < b->first();
                   });
  for (auto& file : by_time) {
    if (slices_.empty() || file->first() > slices_.back().last) {
      slices_.push_back({file->first(), file->last(), {}});
    }
    slices_.back().last = std::max(slices_.back().last, file->last());
    slices_.back().files.push_back(std::move(file));
  }
  for (Slice& slice : slices_) std::sort(slice.files.begin(), slice.files.end(), older);
}

}  // namespace gpu_telemetry::storage::embedded
