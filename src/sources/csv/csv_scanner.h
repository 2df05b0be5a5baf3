// Cuts CSV text into records and fields, as it comes in, in bounded memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sources/csv/csv_structure.h"

namespace gpu_telemetry::sources::csv {

inline constexpr std::size_t kMaxRecordSize = std::size_t{1} << 20;
inline constexpr std::size_t kMaxFields = 1024;
// What is read at once: small enough that a second-level cache holds it while it is worked on.
inline constexpr std::size_t kReadSize = std::size_t{64} << 10;

// One record, where it stands in the scanner's buffer. Valid until the scanner's next call.
struct CsvRecord {
  const char* buffer = nullptr;
  const std::uint32_t* ends = nullptr;  // offset of the separator after each field
  std::uint32_t begin = 0;
  std::uint32_t field_count = 0;
  std::uint64_t line = 0;        // number of its first line, from 1
  std::uint32_t line_count = 1;  // more when a quoted field contains line feeds

  // Field i as it is written, quotes and all.
  std::string_view raw(std::uint32_t i) const {
    const std::uint32_t from = i == 0 ? begin : ends[i - 1] + 1;
    return {buffer + from, ends[i] - from};
  }
};

// `raw` without the quotes around it; false when it starts with one and ends otherwise. Doubled
// quotes inside stay doubled.
inline bool strip_quotes(std::string_view raw, std::string_view& content) {
  if (raw.empty() || raw.front() != '"') {
    content = raw;
    return true;
  }
  if (raw.size() < 2 || raw.back() != '"') return false;
  content = raw.substr(1, raw.size() - 2);
  return true;
}

// Appends `raw` without its quotes, doubled quotes made single. False: as strip_quotes.
bool append_unquoted(std::string_view raw, std::string& out);

enum class ScanStatus {
  kRecord,     // `record` is one
  kMalformed,  // what stands there is no record and was skipped; see problem()
  kNeedInput,  // write to space(), then commit() or finish(); then ask again
  kEnd,
};

// Records end with LF or CRLF, the last one also with the input. Blank lines and a UTF-8 byte order
// mark at the start are skipped.
//
// After something malformed (a misplaced or unclosed quote, a record beyond kMaxRecordSize or
// kMaxFields) it goes on with the next line of the text, whatever quote seemed to be open: damage
// costs the lines it is in, not the rest of the input.
class CsvScanner {
 public:
  explicit CsvScanner(Instructions instructions = best_instructions());

  // Forgets all input and keeps the memory.
  void reset();

  // Where the next input goes: kReadSize bytes. Invalidates records.
  std::span<char> space();
  // The first `size` bytes of space() are input.
  void commit(std::size_t size) { end_ += static_cast<std::uint32_t>(size); }
  // There is no more input.
  void finish() { finished_ = true; }

  // Where the next record begins, in bytes from the start of the text. Whoever begins there finds
  // the same records from there on. In the middle of something malformed it is where that began.
  std::uint64_t offset() const { return skipping_ ? skipped_from_ : base_ + begin_; }
  // The same for a record that it has just returned.
  std::uint64_t offset_of(const CsvRecord& record) const { return base_ + record.begin; }
  // Where in the text CsvRecord::buffer begins; changes with space().
  std::uint64_t base() const { return base_; }
  // The end of the input so far.
  std::uint64_t input_offset() const { return base_ + end_; }
  // Goes on at `offset`, not before offset(), with line 1. Beyond input_offset() the next input is
  // what stands at `offset`.
  void go_to(std::uint64_t offset);

  ScanStatus next(CsvRecord& record);
  // After kMalformed: what is wrong and the line where it starts.
  std::string_view problem() const { return problem_; }
  std::uint64_t problem_line() const { return problem_line_; }

  // Takes back the last record, of several lines, of which the caller could make nothing, and goes
  // on with its second line: a quote that was never closed looks like one record of many lines.
  void resume_at_second_line(const CsvRecord& record);

  // What it holds, for a test of the bound.
  std::size_t memory() const { return capacity_ + separators_.size() * sizeof(std::uint32_t); }

 private:
  bool skip_byte_order_mark();
  bool find_record(CsvRecord& record);
  void take(CsvRecord& record, std::uint32_t end);
  ScanStatus at_end_of_text();
  void scan_more();
  ScanStatus malformed(std::string_view problem);
  bool go_on_after_line(std::uint32_t from);
  void restart_at(std::uint32_t offset);
  std::uint32_t count_quoted_newlines(std::uint32_t before);

  const Instructions instructions_;
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::uint64_t base_ = 0;     // offset of the buffer in the text
  std::uint32_t begin_ = 0;    // of the record that is next
  std::uint32_t scanned_ = 0;  // up to here separators are known
  std::uint32_t end_ = 0;      // of the input so far
  std::vector<std::uint32_t> separators_;
  std::uint32_t first_ = 0;  // separators of the next record: from here
  std::uint32_t probe_ = 0;  // those before are known to end no record
  std::uint32_t last_ = 0;   // to here
  StructureState state_;
  std::uint32_t misplaced_ = kNoOffset;
  std::vector<std::uint32_t> quoted_newlines_;
  std::size_t next_quoted_newline_ = 0;
  std::uint64_t line_ = 1;
  std::string_view problem_;
  std::uint64_t problem_line_ = 0;
  bool at_start_ = true;
  bool skipping_ = false;  // to the end of a line that is longer than what is kept
  std::uint64_t skipped_from_ = 0;
  bool finished_ = false;
};

}  // namespace gpu_telemetry::sources::csv
