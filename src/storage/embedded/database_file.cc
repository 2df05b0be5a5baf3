#include "storage/embedded/database_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "io/crc32c.h"

namespace gpu_telemetry::storage::embedded {

namespace {

using Sum = std::array<char, DatabaseFile::kReservedBytes>;

// The checksum of a page, as it stands at its end.
Sum sum_of(std::string_view page) {
  Sum sum{};
  const std::uint32_t crc = io::crc32c(page.substr(0, page.size() - sum.size()));
  for (std::size_t i = 0; i < sizeof crc; ++i) sum[i] = static_cast<char>(crc >> (8 * i));
  return sum;
}

// Places in the first page (https://www.sqlite.org/fileformat.html#the_database_header). Each says
// whether there are checksums, so that damage to one does not turn them off.
bool says_sums(std::string_view head) {
  constexpr std::size_t kReserved = 20;
  constexpr std::size_t kApplicationId = 68;
  constexpr std::size_t kSmallestHead = 100;
  if (head.size() < kSmallestHead) return false;
  return head[kReserved] == static_cast<char>(DatabaseFile::kReservedBytes) ||
         head.substr(kApplicationId, 4) == DatabaseFile::kApplication;
}

// Better ones are greater.
enum class Condition { kDamaged, kNeverWritten, kSound };

}  // namespace

// A page as one of the files has it.
struct DatabaseFile::Page {
  std::array<char, kPageSize> bytes;
  std::size_t size = 0;  // less than a page at the end of the file
  Condition condition = Condition::kDamaged;
  std::optional<Error> unreadable;

  std::string_view view() const { return {bytes.data(), size}; }
  bool is_whole() const { return size == kPageSize; }
  // Of two that are alike the longer one; else `other` is no better.
  bool is_better_than(const Page& other) const {
    return condition != other.condition ? condition > other.condition : size > other.size;
  }
};

DatabaseFile::Page DatabaseFile::read_page(const io::File& file, std::uint64_t number) const {
  Page page;
  const auto size = file.read_at(number * kPageSize, page.bytes.data(), kPageSize);
  if (!size) {
    page.unreadable = size.error();
    return page;
  }
  page.size = *size;
  if (!page.is_whole()) return page;
  const Sum sum = sum_of(page.view());
  if (page.view().ends_with(std::string_view(sum.data(), sum.size()))) {
    page.condition = Condition::kSound;
  } else if (page.view().find_first_not_of('\0') == std::string_view::npos) {
    page.condition = Condition::kNeverWritten;
  }
  return page;
}

Result<std::unique_ptr<DatabaseFile>> DatabaseFile::open(io::FileSystem& files,
                                                         const std::string& path, bool may_create) {
  bool is_new = false;
  auto file = files.open(path, io::OpenMode::kReadWrite);
  if (!file && file.error().code == ErrorCode::kNotFound && may_create) {
    file = files.open(path, io::OpenMode::kCreate);
    is_new = true;
  }
  if (!file) return file.error();
  const auto written = (*file)->size();
  if (!written) return written.error();
  std::unique_ptr<DatabaseFile> opened(new DatabaseFile(path, std::move(*file)));
  opened->is_new_ = is_new;

  auto copy = files.open(copy_of(path), io::OpenMode::kReadWrite);
  if (!copy && copy.error().code != ErrorCode::kNotFound) return copy.error();
  std::array<char, 100> head;
  for (const io::File* each : {opened->file_.get(), copy ? copy->get() : nullptr}) {
    if (each == nullptr) continue;
    const auto size = each->read_at(0, head.data(), head.size());
    if (size) opened->has_sums_ |= says_sums({head.data(), *size});
  }
  // An empty one was being made when the process ended.
  const bool has_copy = *written == 0 || opened->has_sums_;
  if (opened->has_sums_ && is_new) opened->missing_ = path;
  if (opened->has_sums_ && !copy) opened->missing_ = copy_of(path);
  if (!copy && has_copy) {
    copy = files.open(copy_of(path), io::OpenMode::kCreate);
    opened->is_new_ = true;
    if (!copy && copy.error().code != ErrorCode::kFull) return copy.error();
  }
  if (copy && has_copy) opened->copy_ = std::move(*copy);
  return opened;
}

Result<std::size_t> DatabaseFile::read_at(std::uint64_t offset, void* out, std::size_t size) const {
  const std::uint64_t number = offset / kPageSize;
  const std::size_t at = offset % kPageSize;
  if (!has_sums_ || at + size > kPageSize) return file_->read_at(offset, out, size);
  Page page = read_page(*file_, number);
  if (page.condition != Condition::kSound && copy_) {
    Page other = read_page(*copy_, number);
    if (other.is_better_than(page)) std::swap(page, other);
    if (page.condition == Condition::kDamaged && other.unreadable) return *other.unreadable;
  }
  if (page.unreadable) return *page.unreadable;
  if (page.condition == Condition::kDamaged && page.is_whole()) {
    return corrupt(fmt::format("{}: page {} differs from its checksum", path_, number + 1));
  }
  const std::size_t found = std::min(size, page.size - std::min(at, page.size));
  std::memcpy(out, page.bytes.data() + at, found);
  return found;
}

Result<void> DatabaseFile::write_at(std::uint64_t offset,
                                    std::span<const std::string_view> pieces) {
  std::string whole;
  for (const std::string_view piece : pieces) whole += piece;
  if (offset == 0) has_sums_ |= says_sums(whole);
  if (has_sums_ && offset % kPageSize == 0 && whole.size() == kPageSize) {
    const Sum sum = sum_of(whole);
    whole.replace(kPageSize - sum.size(), sum.size(), sum.data(), sum.size());
  }
  if (copy_) {
    const std::uint64_t end = (offset + whole.size() + kPageSize - 1) / kPageSize;
    for (std::uint64_t page = offset / kPageSize; page < end; ++page) to_copy_.insert(page);
  }
  const std::array<std::string_view, 1> written = {whole};
  return file_->write_at(offset, written);
}

Result<void> DatabaseFile::sync_data() {
  // What a sync that failed for want of space has dropped cannot be known either.
  const auto sync = [](io::File& file) -> Result<void> {
    const auto synced = file.sync_data();
    return synced ? synced : unavailable(synced.error().message);
  };
  const auto synced = sync(*file_);
  if (!synced || !copy_) return synced;
  const auto copied = copy_written_pages();
  if (!copied) return copied;
  return sync(*copy_);
}

Result<void> DatabaseFile::copy_written_pages() {
  for (const std::uint64_t number : to_copy_) {
    const Page page = read_page(*file_, number);
    if (page.unreadable) return *page.unreadable;
    if (has_sums_ && page.is_whole() && page.condition == Condition::kDamaged) {
      return corrupt(fmt::format("{}: page {} is not what was written", path_, number + 1));
    }
    const std::array<std::string_view, 1> written = {page.view()};
    const auto copied = copy_->write_at(number * kPageSize, written);
    if (!copied) return copied;
  }
  to_copy_.clear();
  return {};
}

Result<void> DatabaseFile::preallocate(std::uint64_t size) {
  const auto done = file_->preallocate(size);
  if (!done || !copy_) return done;
  return copy_->preallocate(size);
}

Result<void> DatabaseFile::truncate(std::uint64_t size) {
  const auto done = file_->truncate(size);
  if (!done || !copy_) return done;
  const auto copied = copy_->size();
  if (!copied) return copied.error();
  return *copied > size ? copy_->truncate(size) : Result<void>();
}

Result<std::uint64_t> DatabaseFile::size() const {
  const auto size = file_->size();
  if (!size || !copy_) return size;
  const auto other = copy_->size();
  if (!other) return other;
  return std::max(*size, *other);
}

Result<DatabaseFile::Mended> DatabaseFile::mend() {
  Mended mended;
  mended.missing = missing_;
  if (!copy_ || !has_sums_) return mended;
  const auto bytes = size();
  if (!bytes) return bytes.error();
  auto copied = compare_all_pages(*bytes / kPageSize, mended);
  if (copied) copied = sync_data();
  mended.is_twice = copied.has_value();
  if (!copied && copied.error().code != ErrorCode::kFull) return copied.error();
  return mended;
}

Result<void> DatabaseFile::compare_all_pages(std::uint64_t pages, Mended& mended) {
  std::uint64_t damaged = 0;
  std::uint64_t damaged_in_copy = 0;
  Result<void> copied;
  for (std::uint64_t number = 0; copied && number < pages; ++number) {
    const Page page = read_page(*file_, number);
    const Page other = read_page(*copy_, number);
    // Of two sound ones that differ the copy is the older: it is written later.
    const bool from_copy = other.is_better_than(page);
    const Page& better = from_copy ? other : page;
    if (better.condition == Condition::kDamaged) {
      // What cannot be read today may be whole.
      if (page.unreadable) return *page.unreadable;
      if (other.unreadable) return *other.unreadable;
      if (better.is_whole()) ++mended.lost_pages;
      continue;
    }
    if (page.view() == other.view()) continue;
    if (from_copy) {
      ++damaged;
    } else if (other.condition == Condition::kDamaged && (other.is_whole() || other.unreadable)) {
      ++damaged_in_copy;
    }
    const std::array<std::string_view, 1> written = {better.view()};
    copied = (from_copy ? file_ : copy_)->write_at(number * kPageSize, written);
  }
  const std::string copy_path = copy_of(path_);
  const auto report = [&](std::uint64_t count, const std::string& of, const std::string& from) {
    if (count == 0) return;
    mended.damage.push_back(
        fmt::format("{}: {} of {} pages lost or different from their checksum; "
                    "made whole from {}",
                    of, count, pages, from));
  };
  report(damaged, path_, copy_path);
  report(damaged_in_copy, copy_path, path_);
  return copied;
}

}  // namespace gpu_telemetry::storage::embedded
