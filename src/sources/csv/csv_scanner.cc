#include "sources/csv/csv_scanner.h"

#include <algorithm>
#include <cstring>

namespace gpu_telemetry::sources::csv {
namespace {

// How much is searched for separators at once: small enough that a first-level cache still has the
// text when its records are read.
constexpr std::size_t kScanSize = std::size_t{16} << 10;

constexpr std::string_view kMisplacedQuote =
    "a quote stands where none may be: one is missing, or one inside a field is not doubled";
constexpr std::string_view kUnclosedQuote = "a quote is never closed";
constexpr std::string_view kTooManyFields = "the record has more than 1024 fields";
constexpr std::string_view kTooLong = "the record is longer than 1 MiB";

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

bool append_unquoted(std::string_view raw, std::string& out) {
  std::string_view content;
  if (!strip_quotes(raw, content)) return false;
  if (content.size() == raw.size()) {
    out.append(raw);
    return true;
  }
  while (true) {
    const std::size_t quote = content.find('"');
    if (quote == std::string_view::npos) break;
    out.append(content.substr(0, quote + 1));
    content.remove_prefix(std::min(quote + 2, content.size()));
  }
  out.append(content);
  return true;
}

CsvScanner::CsvScanner(Instructions instructions)
    : instructions_(instructions), separators_(kMaxFields + kScanSize + kSeparatorSlack) {}

void CsvScanner::reset() {
  line_ = 1;
  at_start_ = true;
  skipping_ = false;
  finished_ = false;
  base_ = 0;
  end_ = 0;
  restart_at(0);
}

void CsvScanner::go_to(std::uint64_t offset) {
  line_ = 1;
  at_start_ = false;
  skipping_ = false;
  if (offset <= input_offset()) {
    restart_at(static_cast<std::uint32_t>(offset - base_));
    return;
  }
  base_ = offset;
  end_ = 0;
  restart_at(0);
}

std::span<char> CsvScanner::space() {
  // Everything is scanned when input is asked for, so that only the torn record moves.
  const std::uint32_t kept = end_ - begin_;
  const std::size_t needed = kept + kReadSize + 1;  // and a line feed put after the last record
  if (needed > capacity_) {
    const std::size_t capacity = std::max(needed, 2 * capacity_);
    auto grown = std::make_unique_for_overwrite<char[]>(capacity);
    if (kept > 0) std::memcpy(grown.get(), buffer_.get() + begin_, kept);
    buffer_ = std::move(grown);
    capacity_ = capacity;
  } else if (kept > 0 && begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, kept);
  }
  for (std::uint32_t i = first_; i < last_; ++i) separators_[i] -= begin_;
  for (std::size_t i = next_quoted_newline_; i < quoted_newlines_.size(); ++i) {
    quoted_newlines_[i] -= begin_;
  }
  if (misplaced_ != kNoOffset) misplaced_ -= begin_;
  scanned_ -= begin_;
  base_ += begin_;
  end_ = kept;
  begin_ = 0;
  return {buffer_.get() + end_, kReadSize};
}

ScanStatus CsvScanner::next(CsvRecord& record) {
  while (true) {
    if (at_start_ && !skip_byte_order_mark()) return ScanStatus::kNeedInput;
    if (skipping_) {
      skipping_ = !go_on_after_line(begin_);
      if (skipping_) return finished_ ? ScanStatus::kEnd : ScanStatus::kNeedInput;
    }
    if (find_record(record)) {
      const std::uint32_t end = separators_[probe_ - 1];
      if (misplaced_ <= end) return malformed(kMisplacedQuote);
      if (record.field_count > kMaxFields) return malformed(kTooManyFields);
      if (end - begin_ > kMaxRecordSize) return malformed(kTooLong);
      take(record, end);
      if (record.field_count == 1 && record.ends[0] == record.begin) continue;  // a blank line
      return ScanStatus::kRecord;
    }
    if (misplaced_ != kNoOffset) return malformed(kMisplacedQuote);
    if (last_ - first_ > kMaxFields) return malformed(kTooManyFields);
    if (end_ - begin_ > kMaxRecordSize && scanned_ == end_) return malformed(kTooLong);
    if (scanned_ < end_) {
      scan_more();
      continue;
    }
    const ScanStatus status = at_end_of_text();
    if (status != ScanStatus::kRecord) return status;
  }
}

// False: too few bytes to tell.
bool CsvScanner::skip_byte_order_mark() {
  const std::string_view text(buffer_.get(), end_);
  if (text.size() < kByteOrderMark.size() && !finished_ &&
      text == kByteOrderMark.substr(0, text.size())) {
    return false;
  }
  at_start_ = false;
  if (text.starts_with(kByteOrderMark)) restart_at(kByteOrderMark.size());
  return true;
}

// Looks for the separator that ends the next record. Found: it is the one before probe_.
inline bool CsvScanner::find_record(CsvRecord& record) {
  const char* const buffer = buffer_.get();
  const std::uint32_t* const separators = separators_.data();
  for (std::uint32_t i = probe_; i < last_; ++i) {
    if (buffer[separators[i]] != '\n') continue;
    record.buffer = buffer;
    record.begin = begin_;
    record.ends = separators + first_;
    record.field_count = i + 1 - first_;
    probe_ = i + 1;
    return true;
  }
  probe_ = last_;
  return false;
}

// Moves on behind `record`, whose line feed is at `end`.
inline void CsvScanner::take(CsvRecord& record, std::uint32_t end) {
  if (end > begin_ && buffer_[end - 1] == '\r') --separators_[probe_ - 1];
  begin_ = end + 1;
  first_ = probe_;
  record.line = line_;
  record.line_count = 1;
  if (next_quoted_newline_ < quoted_newlines_.size()) [[unlikely]] {
    record.line_count += count_quoted_newlines(end);
  }
  line_ += record.line_count;
}

// All text is scanned and does not end with a record's end. kRecord: an end was put there, ask
// again.
ScanStatus CsvScanner::at_end_of_text() {
  if (!finished_) return ScanStatus::kNeedInput;
  if (begin_ == end_) return ScanStatus::kEnd;
  if (state_.in_quotes != 0) return malformed(kUnclosedQuote);
  buffer_[end_] = '\n';
  separators_[last_++] = end_++;
  scanned_ = end_;
  return ScanStatus::kRecord;
}

void CsvScanner::scan_more() {
  std::copy(separators_.begin() + first_, separators_.begin() + last_, separators_.begin());
  last_ -= first_;
  probe_ -= first_;
  first_ = 0;
  quoted_newlines_.erase(
      quoted_newlines_.begin(),
      quoted_newlines_.begin() + static_cast<std::ptrdiff_t>(next_quoted_newline_));
  next_quoted_newline_ = 0;
  const std::size_t size = std::min<std::size_t>(end_ - scanned_, kScanSize);
  const StructureScan scan =
      scan_structure(instructions_, {buffer_.get() + scanned_, size}, scanned_, state_,
                     separators_.data() + last_, quoted_newlines_);
  last_ = static_cast<std::uint32_t>(scan.separators_end - separators_.data());
  misplaced_ = scan.misplaced;
  scanned_ += static_cast<std::uint32_t>(size);
}

ScanStatus CsvScanner::malformed(std::string_view problem) {
  problem_ = problem;
  problem_line_ = line_;
  skipped_from_ = base_ + begin_;
  skipping_ = !go_on_after_line(begin_);
  return ScanStatus::kMalformed;
}

// Goes on after the first line feed from `from` on; without one forgets the text. Returns whether
// there was one.
bool CsvScanner::go_on_after_line(std::uint32_t from) {
  const char* const text = buffer_.get() + from;
  const void* const newline = end_ > from ? std::memchr(text, '\n', end_ - from) : nullptr;
  if (newline == nullptr) {
    restart_at(end_);
    return false;
  }
  ++line_;
  restart_at(from + static_cast<std::uint32_t>(static_cast<const char*>(newline) - text) + 1);
  return true;
}

void CsvScanner::resume_at_second_line(const CsvRecord& record) {
  line_ = record.line;
  go_on_after_line(record.begin);
}

void CsvScanner::restart_at(std::uint32_t offset) {
  begin_ = offset;
  scanned_ = offset;
  first_ = probe_ = last_ = 0;
  state_ = {};
  misplaced_ = kNoOffset;
  quoted_newlines_.clear();
  next_quoted_newline_ = 0;
}

std::uint32_t CsvScanner::count_quoted_newlines(std::uint32_t before) {
  std::uint32_t count = 0;
  while (next_quoted_newline_ < quoted_newlines_.size() &&
         quoted_newlines_[next_quoted_newline_] < before) {
    ++next_quoted_newline_;
    ++count;
  }
  return count;
}

}  // namespace gpu_telemetry::sources::csv
