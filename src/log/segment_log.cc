#include "log/segment_log.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "io/crc32c.h"
#include "log/recovery.h"
#include "log/segment_format.h"

namespace gpu_telemetry::log {
namespace {

// Buffered records are written, though not synced, once they are this many bytes.
constexpr std::size_t kWriteBuffered = 1 << 20;
// An appender waits while more than this is waiting to be written.
constexpr std::size_t kMaxBuffered = 32 << 20;

std::uint32_t random_generation() {
  std::random_device random;
  std::uint32_t generation = 0;
  while (generation == 0) generation = random();
  return generation;
}

// A record before it has a place.
struct Prepared {
  std::uint8_t type;
  std::uint32_t payload_size;
  std::uint32_t payload_checksum;
};

// There is no thread of the log's own. Whoever waits for the device and finds nobody writing
// becomes the *writer*: it takes everything that has gathered, writes and syncs it without the
// lock, and tells the others. Lone appenders thus pay for no change of thread, and while one
// writes, the next batch gathers by itself.
class SegmentLogImpl final : public SegmentLog {
 public:
  SegmentLogImpl(SegmentLogOptions options, std::unique_ptr<io::FileLock> directory_lock)
      : options_(std::move(options)),
        files_(*options_.files),
        directory_lock_(std::move(directory_lock)) {}
  ~SegmentLogImpl() override;

  // Continues where recovery ended. Called once, before anything else.
  Result<void> start(const Recovery& recovery);
  Result<void> write_again(std::uint64_t begin, std::uint64_t end);

  Result<Position> append(std::uint8_t type, std::string_view payload,
                          Durability durability) override {
    const Piece record{type, {&payload, 1}};
    return append_all({&record, 1}, durability);
  }
  Result<Position> append_all(std::span<const Piece> records, Durability durability) override;
  Result<void> sync() override;
  Result<std::uint64_t> roll() override;
  Result<void> release_before(std::uint64_t segment) override;
  Result<void> read_segment(std::uint64_t segment,
                            const std::function<Result<void>(const Record&)>& visit) override;
  Result<void> remove_segment(std::uint64_t segment) override;
  std::vector<std::uint64_t> segments() const override;
  std::uint64_t bytes_on_disk() const override;

 private:
  using Lock = std::unique_lock<std::mutex>;

  // The segment that records go to.
  struct Current {
    std::unique_ptr<io::File> file;
    std::uint64_t number = 0;
    std::uint32_t generation = 0;
    std::uint64_t capacity = 0;  // what the file is, or will be, preallocated to
    bool is_reserved = false;    // it is, durably
    bool is_empty = true;        // holds nothing but its preamble
    std::uint64_t end = 0;       // of everything appended, written or not
    std::uint64_t durable = 0;   // below it everything is on the device
  };

  std::string path_of(std::uint64_t number) const {
    return options_.directory + "/" + segment_name(number);
  }
  Result<void> check(std::span<const Piece> records) const;

  // All of these are called with the lock held; those that take it give it up while they write.
  Result<void> make_room(Lock& lock, std::uint64_t size);
  Result<void> reserve_current(Lock& lock);
  Result<void> open_next(Lock& lock, std::uint64_t size_of_first);
  Result<void> write_out(Lock& lock, bool and_sync);
  Result<void> wait_until_durable(Lock& lock, std::uint64_t appended);
  void add_to_buffer(const Piece& record, const Prepared& prepared);
  void wait_for_writer(Lock& lock) {
    changed_.wait(lock, [this] { return !writing_; });
  }
  // From here on the log refuses everything.
  Error fail(const Error& error) {
    if (!failure_) {
      failure_ =
          unavailable("the log takes no more records until it is opened again: " + error.message);
    }
    return *failure_;
  }

  // Without the lock, by whoever is the writer.
  Result<Current> create_segment(std::uint64_t number, std::uint64_t size_of_first,
                                 bool& sync_failed) const;
  Result<void> fill_new_segment(Current& segment, std::uint64_t size_of_first,
                                bool& sync_failed) const;
  std::string encode_preamble(const Current& segment) const;
  Result<void> remove_files(const std::vector<std::uint64_t>& numbers);

  const SegmentLogOptions options_;
  io::FileSystem& files_;
  const std::unique_ptr<io::FileLock> directory_lock_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool writing_ = false;          // somebody is the writer, and works without the lock
  bool rolling_ = false;          // the writer opens the next segment: nothing may be appended
  std::optional<Error> failure_;  // for good
  Current current_;
  std::uint64_t next_number_ = 1;
  std::string buffer_;          // appended and not yet written: ends at current_.end
  std::string being_written_;   // the writer's
  std::uint64_t appended_ = 0;  // bytes, since opening
  std::uint64_t durable_ = 0;   // of those, on the device
  std::map<std::uint64_t, std::uint64_t> sizes_;  // of every segment's file
};

Result<void> SegmentLogImpl::start(const Recovery& recovery) {
  for (const RecoveredSegment& segment : recovery.segments) {
    sizes_[segment.number] = segment.file_size;
  }
  next_number_ = recovery.largest_number + 1;
  // What a killed process wrote, names included, may be in the page cache only; from here on it
  // counts as durable.
  if (auto synced = files_.sync_directory(options_.directory); !synced) return synced;
  Lock lock(mutex_);
  if (recovery.segments.empty() || !recovery.segments.back().is_writable) {
    return open_next(lock, 0);
  }
  const RecoveredSegment& last = recovery.segments.back();
  auto file = files_.open(path_of(last.number), io::OpenMode::kReadWrite);
  if (!file) return file.error();
  current_.file = std::move(*file);
  current_.number = last.number;
  current_.generation = last.generation;
  current_.capacity = last.reserved_size;
  current_.is_reserved = last.file_size >= current_.capacity;
  current_.is_empty = last.end == kSegmentHeaderSize;
  current_.end = last.end;
  current_.durable = last.end;
  if (auto written = write_again(last.durable, last.end); !written) return written;
  return current_.file->sync_data();
}

// A process whose sync failed, and that was then ended, leaves records that are readable and yet
// not on the device, and that the system thinks it has written: a sync alone does nothing for them.
Result<void> SegmentLogImpl::write_again(std::uint64_t begin, std::uint64_t end) {
  constexpr std::uint64_t kAtOnce = 1 << 20;
  std::string bytes;
  while (begin < end) {
    bytes.resize(std::min(kAtOnce, end - begin));
    const auto read = current_.file->read_at(begin, bytes.data(), bytes.size());
    if (!read) return read.error();
    if (*read != bytes.size()) return corrupt(path_of(current_.number) + ": has become shorter");
    const std::string_view piece = bytes;
    if (auto written = current_.file->write_at(begin, {&piece, 1}); !written) return written;
    begin += bytes.size();
  }
  return {};
}

SegmentLogImpl::~SegmentLogImpl() {
  Lock lock(mutex_);
  wait_for_writer(lock);
  if (failure_ || !current_.file) return;
  if (durable_ < appended_ && !write_out(lock, true)) return;
  if (!current_.is_reserved) return;
  // A file that ends with its last record says that the log was closed in good order, and gives the
  // space behind it back. When this fails, opening takes the log for interrupted, and no more.
  if (current_.file->truncate(current_.end)) (void)current_.file->sync_data();
}

Result<void> SegmentLogImpl::check(std::span<const Piece> records) const {
  if (records.empty()) return invalid("append of no records");
  for (const Piece& record : records) {
    std::uint64_t size = 0;
    for (const std::string_view piece : record.payload) size += piece.size();
    if (record.type == 0) return invalid("append of a record of type 0, which is reserved");
    if (size > options_.max_record_size.bytes) {
      return invalid("append of a record of " + std::to_string(size) + " bytes to " +
                     options_.directory + ", which takes at most " +
                     std::to_string(options_.max_record_size.bytes));
    }
  }
  return {};
}

Result<Position> SegmentLogImpl::append_all(std::span<const Piece> records, Durability durability) {
  if (auto valid = check(records); !valid) return valid.error();
  // The checksums, which take longest, are done before the lock is taken.
  std::vector<Prepared> prepared(records.size());
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    std::uint32_t checksum = 0;
    std::uint64_t payload_size = 0;
    for (const std::string_view piece : records[i].payload) {
      checksum = io::crc32c(piece, checksum);
      payload_size += piece.size();
    }
    prepared[i] = {records[i].type, static_cast<std::uint32_t>(payload_size), checksum};
    size += record_size(payload_size);
  }
  if (size > kMaxSegmentSize / 2) {
    return invalid("append of " + std::to_string(size) + " bytes of records at once to " +
                   options_.directory + "; at most " + std::to_string(kMaxSegmentSize / 2));
  }

  Lock lock(mutex_);
  if (auto room = make_room(lock, size); !room) return room.error();
  const Position position{current_.number, current_.end};
  for (std::size_t i = 0; i < records.size(); ++i) add_to_buffer(records[i], prepared[i]);
  current_.is_empty = false;
  if (durability == Durability::kSync) {
    if (auto durable = wait_until_durable(lock, appended_); !durable) return durable.error();
  } else if (buffer_.size() >= kWriteBuffered && !writing_) {
    if (auto written = write_out(lock, false); !written) return written.error();
  }
  return position;
}

void SegmentLogImpl::add_to_buffer(const Piece& record, const Prepared& prepared) {
  RecordHeader header;
  header.payload_size = prepared.payload_size;
  header.generation = current_.generation;
  header.offset = static_cast<std::uint32_t>(current_.end);
  header.durable_below = static_cast<std::uint32_t>(current_.durable);
  header.type = prepared.type;
  append_record_header(buffer_, header, prepared.payload_checksum);
  for (const std::string_view piece : record.payload) buffer_.append(piece);
  const std::uint64_t size = record_size(prepared.payload_size);
  buffer_.append(size - kRecordHeaderSize - prepared.payload_size, '\0');
  current_.end += size;
  appended_ += size;
}

// Returns with room for `size` bytes in the current segment, which then is reserved on the device.
Result<void> SegmentLogImpl::make_room(Lock& lock, std::uint64_t size) {
  for (;;) {
    if (failure_) return *failure_;
    if (rolling_) {
      changed_.wait(lock);
      continue;
    }
    if (buffer_.size() > kMaxBuffered) {
      if (writing_) {
        changed_.wait(lock);
      } else if (auto written = write_out(lock, false); !written) {
        return written;
      }
      continue;
    }
    const bool fits = current_.end + size <= current_.capacity;
    if (fits && current_.is_reserved) return {};
    if (writing_) {
      wait_for_writer(lock);
      continue;
    }
    if (auto done = fits ? reserve_current(lock) : open_next(lock, size); !done) return done;
  }
}

// Takes back the space that closing gave away. Not reserved yet means that nothing was appended.
Result<void> SegmentLogImpl::reserve_current(Lock& lock) {
  writing_ = rolling_ = true;
  lock.unlock();
  auto reserved = current_.file->preallocate(current_.capacity);
  const bool is_sync_at_fault = reserved.has_value();
  if (reserved) reserved = current_.file->sync_data();
  lock.lock();
  writing_ = rolling_ = false;
  changed_.notify_all();
  if (!reserved) {
    if (is_sync_at_fault) return fail(reserved.error());
    return reserved;
  }
  current_.is_reserved = true;
  sizes_[current_.number] = current_.capacity;
  return {};
}

Result<void> SegmentLogImpl::write_out(Lock& lock, bool and_sync) {
  writing_ = true;
  being_written_.clear();
  std::swap(being_written_, buffer_);
  const std::uint64_t end = current_.end;
  const std::uint64_t appended = appended_;
  lock.unlock();
  Result<void> done;
  if (!being_written_.empty()) {
    const std::string_view bytes = being_written_;
    done = current_.file->write_at(end - bytes.size(), {&bytes, 1});
  }
  if (done && and_sync) done = current_.file->sync_data();
  lock.lock();
  writing_ = false;
  changed_.notify_all();
  if (!done) return fail(done.error());
  if (and_sync) {
    current_.durable = end;
    durable_ = appended;
  }
  return {};
}

Result<void> SegmentLogImpl::wait_until_durable(Lock& lock, std::uint64_t appended) {
  while (durable_ < appended) {
    if (failure_) return *failure_;
    if (writing_) {
      changed_.wait(lock);
    } else if (auto written = write_out(lock, true); !written) {
      return written;
    }
  }
  return {};
}

Result<void> SegmentLogImpl::sync() {
  Lock lock(mutex_);
  return wait_until_durable(lock, appended_);
}

// Makes the next segment the current one. An error leaves the current one current; unless it is a
// failed write or sync, appends may be tried again.
Result<void> SegmentLogImpl::open_next(Lock& lock, std::uint64_t size_of_first) {
  rolling_ = true;
  Result<void> done;
  if (current_.file && durable_ < appended_) done = write_out(lock, true);
  if (!done) {
    rolling_ = false;
    changed_.notify_all();
    return done;
  }
  writing_ = true;
  const std::uint64_t number = next_number_++;
  lock.unlock();
  bool sync_failed = false;
  auto created = create_segment(number, size_of_first, sync_failed);
  // Space behind the last record is of no more use. Best effort: nothing depends on it.
  const bool is_trimmed = created && current_.file && current_.is_reserved &&
                          current_.file->truncate(current_.end).has_value();
  lock.lock();
  writing_ = rolling_ = false;
  changed_.notify_all();
  if (!created) return sync_failed ? fail(created.error()) : created.error();
  if (is_trimmed) sizes_[current_.number] = current_.end;
  current_ = std::move(*created);
  sizes_[number] = current_.capacity;
  return {};
}

std::string SegmentLogImpl::encode_preamble(const Current& segment) const {
  std::string bytes;
  if (!options_.segment_preamble) return bytes;
  for (const auto& [type, payload] : options_.segment_preamble()) {
    RecordHeader header;
    header.payload_size = static_cast<std::uint32_t>(payload.size());
    header.generation = segment.generation;
    header.offset = static_cast<std::uint32_t>(kSegmentHeaderSize + bytes.size());
    header.type = type;
    append_record_header(bytes, header, io::crc32c(payload));
    bytes += payload;
    bytes.resize((bytes.size() + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment);
  }
  return bytes;
}

Result<SegmentLogImpl::Current> SegmentLogImpl::create_segment(std::uint64_t number,
                                                               std::uint64_t size_of_first,
                                                               bool& sync_failed) const {
  Current segment;
  segment.number = number;
  segment.generation = random_generation();
  const std::string path = path_of(number);
  auto file = files_.open(path, io::OpenMode::kCreate);
  if (!file) return file.error();
  segment.file = std::move(*file);
  if (auto filled = fill_new_segment(segment, size_of_first, sync_failed); !filled) {
    segment.file.reset();
    (void)files_.remove(path);  // recovery removes it otherwise
    return filled.error();
  }
  segment.is_reserved = true;
  return segment;
}

// The header is written last, when everything else is on the device: a segment with a header is
// whole. Nothing was accepted into the segment yet, so an error may be tried again with another
// one; not so a sync, whose failure the system reports only once.
Result<void> SegmentLogImpl::fill_new_segment(Current& segment, std::uint64_t size_of_first,
                                              bool& sync_failed) const {
  const std::string preamble = encode_preamble(segment);
  segment.end = kSegmentHeaderSize + preamble.size();
  segment.capacity = std::max(options_.segment_size.bytes, segment.end + size_of_first);
  if (segment.capacity > kMaxSegmentSize) {
    return internal(options_.directory + ": a preamble of " + std::to_string(preamble.size()) +
                    " bytes does not fit into a segment");
  }
  if (auto reserved = segment.file->preallocate(segment.capacity); !reserved) return reserved;
  if (!preamble.empty()) {
    const std::string_view bytes = preamble;
    if (auto written = segment.file->write_at(kSegmentHeaderSize, {&bytes, 1}); !written) {
      return written;
    }
  }
  sync_failed = true;
  if (auto synced = segment.file->sync_data(); !synced) return synced;
  sync_failed = false;
  SegmentHeader header;
  header.generation = segment.generation;
  header.number = segment.number;
  header.reserved_size = segment.capacity;
  const std::string encoded = encode_segment_header(header);
  const std::string_view bytes = encoded;
  if (auto written = segment.file->write_at(0, {&bytes, 1}); !written) return written;
  sync_failed = true;
  if (auto synced = segment.file->sync_data(); !synced) return synced;
  if (auto synced = files_.sync_directory(options_.directory); !synced) return synced;
  sync_failed = false;
  segment.durable = segment.end;
  return {};
}

Result<std::uint64_t> SegmentLogImpl::roll() {
  Lock lock(mutex_);
  while (writing_ || rolling_) changed_.wait(lock);
  if (failure_) return *failure_;
  if (!current_.is_empty) {
    if (auto opened = open_next(lock, 0); !opened) return opened.error();
  }
  return current_.number;
}

Result<void> SegmentLogImpl::remove_files(const std::vector<std::uint64_t>& numbers) {
  for (const std::uint64_t number : numbers) {
    auto removed = files_.remove(path_of(number));
    if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
    const std::lock_guard lock(mutex_);
    sizes_.erase(number);
  }
  // Otherwise a power cut could bring records back that their owner has forgotten.
  if (!numbers.empty()) return files_.sync_directory(options_.directory);
  return {};
}

Result<void> SegmentLogImpl::release_before(std::uint64_t segment) {
  std::vector<std::uint64_t> numbers;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, size] : sizes_) {
      if (number < std::min(segment, current_.number)) numbers.push_back(number);
    }
  }
  return remove_files(numbers);
}

Result<void> SegmentLogImpl::remove_segment(std::uint64_t segment) {
  {
    const std::lock_guard lock(mutex_);
    if (segment == current_.number) {
      return conflict("segment " + std::to_string(segment) + " of " + options_.directory +
                      " is being written; roll the log first");
    }
    if (!sizes_.contains(segment)) {
      return not_found("there is no segment " + std::to_string(segment) + " in " +
                       options_.directory);
    }
  }
  return remove_files({segment});
}

Result<void> SegmentLogImpl::read_segment(std::uint64_t segment,
                                          const std::function<Result<void>(const Record&)>& visit) {
  std::optional<std::uint64_t> limit;
  {
    Lock lock(mutex_);
    if (segment == current_.number) {
      limit = current_.end;
      while (segment == current_.number && (writing_ || !buffer_.empty())) {
        if (failure_) return *failure_;
        if (writing_) {
          changed_.wait(lock);
        } else if (auto written = write_out(lock, false); !written) {
          return written;
        }
      }
    }
  }
  const auto mapped = files_.map(path_of(segment));
  if (!mapped) return mapped.error();
  std::string_view file = (*mapped)->bytes();
  if (limit) file = file.substr(0, static_cast<std::size_t>(*limit));
  return visit_records(segment, file, scan_segment(file).records, visit);
}

std::vector<std::uint64_t> SegmentLogImpl::segments() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, size] : sizes_) numbers.push_back(number);
  return numbers;
}

std::uint64_t SegmentLogImpl::bytes_on_disk() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& [number, size] : sizes_) bytes += size;
  return bytes;
}

}  // namespace

Result<std::unique_ptr<SegmentLog>> SegmentLog::open(
    SegmentLogOptions options, const std::function<Result<void>(const Record&)>& replay,
    RecoveryReport* report) {
  if (!options.files) options.files = &io::posix_file_system();
  constexpr std::uint64_t kLeast = 4096;
  if (options.segment_size.bytes < kLeast || options.segment_size.bytes > kMaxSegmentSize / 2) {
    return invalid("a log's segment_size of " + format_byte_size(options.segment_size) +
                   "; expected " + format_byte_size({kLeast}) + " to " +
                   format_byte_size({kMaxSegmentSize / 2}));
  }
  options.max_record_size.bytes =
      std::min(options.max_record_size.bytes,
               options.segment_size.bytes - kSegmentHeaderSize - record_size(0));
  io::FileSystem& files = *options.files;
  if (auto created = files.create_directories(options.directory); !created) return created.error();
  auto lock = files.lock(options.directory + "/LOCK");
  if (!lock) return lock.error();
  RecoveryReport found;
  auto recovery = recover(files, options.directory, replay, found);
  if (report) *report = std::move(found);
  if (!recovery) return recovery.error();
  auto opened = std::make_unique<SegmentLogImpl>(std::move(options), std::move(*lock));
  if (auto started = opened->start(*recovery); !started) return started.error();
  return opened;
}

}  // namespace gpu_telemetry::log
