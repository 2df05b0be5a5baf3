#include "sources/csv/csv_input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

namespace gpu_telemetry::sources::csv {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

class Descriptor {
 public:
  Descriptor(int fd, bool owned) : fd_(fd), owned_(owned) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (owned_) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
  bool owned_;
};

class FileInput final : public ByteInput {
 public:
  FileInput(std::string name, int fd, bool owned) : name_(std::move(name)), fd_(fd, owned) {
    struct stat about{};
    may_wait_ = ::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode);
    if (may_wait_) return;
    size_ = static_cast<std::uint64_t>(about.st_size);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  }

  Result<std::uint64_t> skip(std::uint64_t size) override {
    if (may_wait_) return ByteInput::skip(size);
    if (::lseek(fd_.get(), static_cast<off_t>(size), SEEK_CUR) >= 0) return size;
    return unavailable("cannot go to another place in " + name_ + ": " + reason(errno));
  }

  std::uint64_t text_limit() const override { return may_wait_ ? UINT64_MAX : size_; }

  Result<InputRead> read(std::span<char> into, std::chrono::milliseconds patience) override {
    if (may_wait_) {
      pollfd wanted{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      const int ready = ::poll(&wanted, 1, static_cast<int>(patience.count()));
      if (ready == 0 || (ready < 0 && errno == EINTR)) {
        return InputRead{InputRead::State::kWaiting, 0};
      }
    }
    const ssize_t size = ::read(fd_.get(), into.data(), into.size());
    if (size > 0) return InputRead{InputRead::State::kData, static_cast<std::size_t>(size)};
    if (size == 0) return InputRead{InputRead::State::kEnd, 0};
    if (errno == EINTR || errno == EAGAIN) return InputRead{InputRead::State::kWaiting, 0};
    return unavailable("cannot read " + name_ + ": " + reason(errno));
  }

 private:
  std::string name_;
  Descriptor fd_;
  bool may_wait_ = false;
  std::uint64_t size_ = 0;
};

// Passes `raw` on as it is, or decompressed when it starts as gzip data does (RFC 1952).
class MaybeGzipInput final : public ByteInput {
 public:
  MaybeGzipInput(std::string name, std::unique_ptr<ByteInput> raw)
      : name_(std::move(name)), raw_(std::move(raw)) {}
  ~MaybeGzipInput() override {
    if (mode_ == Mode::kGzip) ::inflateEnd(&zlib_);
  }

  Result<InputRead> read(std::span<char> into, std::chrono::milliseconds patience) override {
    if (mode_ == Mode::kPlain && from_ == to_) return raw_->read(into, patience);
    if (mode_ == Mode::kUnknown) {
      const Result<bool> known = look_at_start(patience);
      if (!known) return known.error();
      if (!*known) return InputRead{InputRead::State::kWaiting, 0};
    }
    if (mode_ == Mode::kGzip) return inflate_into(into, patience);
    const std::size_t size = std::min(into.size(), to_ - from_);
    if (size == 0) return InputRead{InputRead::State::kEnd, 0};
    std::memcpy(into.data(), compressed_.data() + from_, size);
    from_ += size;
    return InputRead{InputRead::State::kData, size};
  }

  Result<std::uint64_t> skip(std::uint64_t size) override {
    if (mode_ != Mode::kPlain) return ByteInput::skip(size);  // also when it is not known yet
    if (from_ == to_) return raw_->skip(size);
    const std::size_t held = std::min<std::uint64_t>(size, to_ - from_);
    from_ += held;
    return held;
  }

  std::uint64_t text_limit() const override {
    constexpr std::uint64_t kRoomToGrow = 16;
    constexpr std::uint64_t kMostDenseGzip = 1032;  // bytes of text for one of deflate
    const std::uint64_t factor = mode_ == Mode::kGzip ? kMostDenseGzip : kRoomToGrow;
    const std::uint64_t size = raw_->text_limit();
    return size > UINT64_MAX / factor ? UINT64_MAX : size * factor;
  }

 private:
  enum class Mode { kUnknown, kPlain, kGzip };
  static constexpr std::size_t kCompressedSize = std::size_t{32} << 10;

  Result<bool> look_at_start(std::chrono::milliseconds patience) {
    compressed_.resize(kCompressedSize);
    while (to_ < 2 && !raw_ended_) {
      const Result<bool> more = fill(patience);
      if (!more) return more.error();
      if (!*more) return false;
    }
    if (to_ < 2 || compressed_[0] != '\x1f' || compressed_[1] != '\x8b') {
      mode_ = Mode::kPlain;
      return true;
    }
    // 16: a gzip header is expected.
    if (::inflateInit2(&zlib_, MAX_WBITS + 16) != Z_OK) {
      return unavailable("no memory to decompress " + name_);
    }
    mode_ = Mode::kGzip;
    return true;
  }

  // Appends to what is held. False: nothing came within `patience`.
  Result<bool> fill(std::chrono::milliseconds patience) {
    if (from_ == to_) from_ = to_ = 0;
    const std::span<char> room(compressed_.data() + to_, compressed_.size() - to_);
    const Result<InputRead> got = raw_->read(room, patience);
    if (!got) return got.error();
    if (got->state == InputRead::State::kWaiting) return false;
    raw_ended_ = got->state == InputRead::State::kEnd;
    to_ += got->size;
    return true;
  }

  Result<InputRead> inflate_into(std::span<char> into, std::chrono::milliseconds patience) {
    zlib_.next_out = reinterpret_cast<Bytef*>(into.data());
    zlib_.avail_out = static_cast<uInt>(std::min<std::size_t>(into.size(), UINT32_MAX));
    const auto produced = [&] { return into.size() - zlib_.avail_out; };
    while (produced() == 0) {
      if (from_ == to_ && !raw_ended_) {
        const Result<bool> more = fill(patience);
        if (!more) return more.error();
        if (!*more) return InputRead{InputRead::State::kWaiting, 0};
      }
      if (between_members_) {
        const Result<bool> next = start_member();
        if (!next) return next.error();
        if (!*next) {
          if (raw_ended_) return InputRead{InputRead::State::kEnd, 0};
          continue;
        }
      }
      if (from_ == to_ && raw_ended_) return damaged("it ends in the middle");
      zlib_.next_in = reinterpret_cast<Bytef*>(compressed_.data() + from_);
      zlib_.avail_in = static_cast<uInt>(to_ - from_);
      const int outcome = ::inflate(&zlib_, Z_NO_FLUSH);
      from_ = to_ - zlib_.avail_in;
      if (outcome == Z_STREAM_END) {
        between_members_ = true;
      } else if (outcome != Z_OK && outcome != Z_BUF_ERROR) {
        if (produced() > 0) break;  // first what came before the damage; zlib repeats its error
        return damaged(zlib_.msg != nullptr ? zlib_.msg : "zlib refuses it");
      }
    }
    return InputRead{InputRead::State::kData, produced()};
  }

  // Goes on to the next member. False: there is none in what is held, only zeros (padding).
  Result<bool> start_member() {
    while (from_ < to_ && compressed_[from_] == '\0') ++from_;
    if (from_ == to_) return false;
    if (compressed_[from_] != '\x1f') return damaged("something else follows the compressed data");
    ::inflateReset(&zlib_);
    between_members_ = false;
    return true;
  }

  Error damaged(std::string_view what) const {
    return corrupt(name_ + ": damaged gzip data: " + std::string(what));
  }

  std::string name_;
  std::unique_ptr<ByteInput> raw_;
  Mode mode_ = Mode::kUnknown;
  std::vector<char> compressed_;  // also holds the first bytes of plain text
  std::size_t from_ = 0;
  std::size_t to_ = 0;
  bool raw_ended_ = false;
  bool between_members_ = false;
  z_stream zlib_{};
};

class MemoryInput final : public ByteInput {
 public:
  MemoryInput(std::string_view text, std::size_t piece)
      : text_(text), piece_(piece), size_(text.size()) {}
  Result<InputRead> read(std::span<char> into, std::chrono::milliseconds) override {
    const std::size_t size = std::min({into.size(), piece_, text_.size()});
    if (size == 0) return InputRead{InputRead::State::kEnd, 0};
    std::memcpy(into.data(), text_.data(), size);
    text_.remove_prefix(size);
    return InputRead{InputRead::State::kData, size};
  }
  std::uint64_t text_limit() const override { return size_; }

 private:
  std::string_view text_;
  std::size_t piece_;
  std::uint64_t size_;
};

}  // namespace

Result<std::uint64_t> ByteInput::skip(std::uint64_t size) {
  constexpr std::size_t kPiece = std::size_t{64} << 10;
  const auto piece = std::make_unique_for_overwrite<char[]>(kPiece);
  const std::span<char> into(piece.get(), std::min<std::uint64_t>(size, kPiece));
  while (true) {
    const Result<InputRead> got = read(into, std::chrono::milliseconds{0});
    if (!got) return got.error();
    if (got->state != InputRead::State::kWaiting) return got->size;
  }
}

Result<std::unique_ptr<ByteInput>> open_input(const std::string& path) {
  if (path == "-") {
    auto input = std::make_unique<FileInput>("standard input", STDIN_FILENO, false);
    return std::unique_ptr<ByteInput>(
        std::make_unique<MaybeGzipInput>("standard input", std::move(input)));
  }
  int fd;
  do {
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    const std::string message = "cannot open " + path + ": " + reason(errno);
    return errno == ENOENT ? not_found(message) : unavailable(message);
  }
  auto input = std::make_unique<FileInput>(path, fd, true);
  struct stat about{};
  if (::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
    return invalid(path + " is a folder; expected a CSV file");
  }
  return std::unique_ptr<ByteInput>(std::make_unique<MaybeGzipInput>(path, std::move(input)));
}

bool is_stream(const std::string& path) {
  struct stat about{};
  if (path == "-") return ::fstat(STDIN_FILENO, &about) != 0 || !S_ISREG(about.st_mode);
  return ::stat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode);
}

std::unique_ptr<ByteInput> memory_input(std::string_view text, std::size_t piece) {
  return std::make_unique<MemoryInput>(text, piece);
}

}  // namespace gpu_telemetry::sources::csv
