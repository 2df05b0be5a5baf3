#include "storage/embedded/wal_check.h"

#include <fmt/format.h>

#include <cstdint>
#include <string_view>
#include <utility>

namespace gpu_telemetry::storage::embedded {

namespace {

constexpr std::size_t kHeaderSize = 32;
constexpr std::size_t kFrameHeaderSize = 24;
constexpr std::uint32_t kMagic = 0x377f0682;  // and 1 more where checksums are of big-endian words
constexpr std::size_t kUsualPageSize = 4096;

std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

class Checksum {
 public:
  explicit Checksum(bool of_big_endian_words) : is_big_(of_big_endian_words) {}

  // `bytes`: a multiple of 8.
  void add(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      first_ += word(bytes, at) + second_;
      second_ += word(bytes, at + 4) + first_;
    }
  }
  bool stands_at(std::string_view bytes, std::size_t at) const {
    return big_endian(bytes, at) == first_ && big_endian(bytes, at + 4) == second_;
  }

 private:
  std::uint32_t word(std::string_view bytes, std::size_t at) const {
    const std::uint32_t big = big_endian(bytes, at);
    return is_big_ ? big : __builtin_bswap32(big);
  }

  const bool is_big_;
  std::uint32_t first_ = 0;
  std::uint32_t second_ = 0;
};

// The frames behind a header.
class Frames {
 public:
  Frames(std::string_view wal, std::size_t page_size)
      : wal_(wal.substr(kHeaderSize)), size_(kFrameHeaderSize + page_size) {}

  std::size_t count() const { return wal_.size() / size_; }
  std::string_view at(std::size_t frame) const { return wal_.substr(frame * size_, size_); }
  std::string_view salts(std::size_t frame) const { return at(frame).substr(8, 8); }
  // The page's number, and the size of the database where a transaction ends.
  std::string_view head(std::size_t frame) const { return at(frame).substr(0, 8); }
  bool ends_transaction(std::size_t frame) const { return big_endian(head(frame), 4) != 0; }

  // Whether a transaction of this salt ends at or behind `frame`, and another one follows it.
  // SQLite repeats the frame that ends one until a sector is full, and syncs the last repetition in
  // part.
  bool transaction_follows(std::size_t frame, std::string_view salt) const {
    while (frame > 0 && frame < count() && ends_transaction(frame - 1) &&
           head(frame) == head(frame - 1)) {
      ++frame;
    }
    std::string_view ending;
    for (; frame < count(); ++frame) {
      if (salts(frame) != salt) continue;
      if (!ending.empty() && head(frame) != ending) return true;
      if (ends_transaction(frame)) ending = head(frame);
    }
    return false;
  }

 private:
  const std::string_view wal_;
  const std::size_t size_;
};

// The place from which on nothing counts, although it was whole once.
std::uint64_t damaged_at(std::string_view wal) {
  constexpr std::uint64_t kNowhere = UINT64_MAX;
  const std::uint32_t magic = big_endian(wal, 0);
  Checksum checksum((magic & 1) != 0);
  checksum.add(wal.substr(0, 24));
  if ((magic & ~1U) != kMagic || !checksum.stands_at(wal, 24)) {
    const Frames frames(wal, kUsualPageSize);
    const bool whole_once = frames.count() > 0 && frames.transaction_follows(0, frames.salts(0));
    return whole_once ? 0 : kNowhere;
  }
  const std::size_t page_size = big_endian(wal, 8);
  if (page_size % 512 != 0 || page_size == 0) return kNowhere;
  const std::string_view salt = wal.substr(16, 8);
  const Frames frames(wal, page_size);
  for (std::size_t i = 0; i < frames.count(); ++i) {
    const std::string_view frame = frames.at(i);
    checksum.add(frame.substr(0, 8));
    checksum.add(frame.substr(kFrameHeaderSize));
    if (frames.salts(i) == salt && checksum.stands_at(frame, 16)) continue;
    if (!frames.transaction_follows(i, salt)) return kNowhere;
    return kHeaderSize + i * frame.size();
  }
  return kNowhere;
}

}  // namespace

Result<std::string> damage_of_wal(io::FileSystem& files, const std::string& path) {
  const auto exists = files.exists(path);
  if (!exists) return exists.error();
  if (!*exists) return std::string();
  const auto wal = files.map(path);
  if (!wal) return wal.error();
  const std::string_view bytes = (*wal)->bytes();
  if (bytes.size() <= kHeaderSize) return std::string();
  const std::uint64_t at = damaged_at(bytes);
  if (at == UINT64_MAX) return std::string();
  return fmt::format("{}: damaged at byte {}; what was written to it from there on is lost", path,
                     at);
}

}  // namespace gpu_telemetry::storage::embedded
