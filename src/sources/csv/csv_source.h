// Reads telemetry from CSV files as DCGM captures are exported: one reading a row, a header, and
// the labels of the series in one of the columns.
//
// Columns may stand in any order and go by several names (csv_header.h); timestamp, metric_name,
// uuid and value are required. Text may be compressed with gzip. A row that cannot be read is
// counted, logged with its file and line (not more than a few each 10 s) and skipped.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "domain/clock.h"
#include "domain/result.h"
#include "sources/csv/csv_input.h"
#include "sources/csv/csv_scrape_times.h"
#include "sources/csv/csv_structure.h"
#include "sources/source.h"

namespace gpu_telemetry::sources {

using csv::TimestampMode;

struct CsvSourceOptions {
  std::string path = "-";  // "-": standard input
  // Read the file again and again. Ends nevertheless after a pass that had no reading at all.
  bool loop = false;
  // kNow: each distinct timestamp of a pass is one scrape time, stamped when its first row is read,
  // strictly increasing over all passes; read faster than one a millisecond, the source waits for
  // the clock rather than be ahead of it by much more than a second. kSource: the file's own times,
  // again and again in a loop.
  TimestampMode timestamp_mode = TimestampMode::kNow;
  Shard shard;
  // Rows are regrouped by GPU within so many rows, or so much time when they come slowly. More rows
  // make fuller scrapes, and cost 40 bytes each and delay.
  std::size_t window_rows = 4096;
  std::chrono::milliseconds window_time{50};
  const Clock* clock = &system_clock();  // outlives the source
  // For measurements and tests; must be supported here.
  csv::Instructions instructions = csv::best_instructions();
};

// Of a regular file the header is read now; of a pipe or standard input by the first next().
//
// A pass ends a batch, so that a small file gives a batch a pass. A row that repeats the GPU, time
// and metric of another of its window replaces it; both count as accepted. A damaged end of gzip
// data is kCorrupt after the rows before it; a plain file that becomes shorter while it is read
// just ends.
//
// Errors: kNotFound, kUnavailable: cannot be opened or read. kInvalid: a folder; an empty file; not
// a CSV file; a required column is missing or doubled (named); `loop` on something that can be read
// only once. Of a stream, next() returns those about its content.
Result<std::unique_ptr<Source>> open_csv_source(const CsvSourceOptions& options);

// The same, reading what `open` opens anew for each pass. `options.path` is only its name in
// messages.
Result<std::unique_ptr<Source>> open_csv_source(const CsvSourceOptions& options,
                                                csv::OpenInput open, bool is_stream);

}  // namespace gpu_telemetry::sources
