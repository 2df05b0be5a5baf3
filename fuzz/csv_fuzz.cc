// Any bytes as a CSV file: the scanner must give the same records however its input is cut and
// whatever instructions it uses, and the source only batches that keep their invariants.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "observability/log.h"
#include "sources/csv/csv_scanner.h"
#include "sources/csv/csv_source.h"

namespace gpu_telemetry::sources {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::vector<std::string> records(std::string_view text, csv::Instructions instructions,
                                 std::size_t piece) {
  csv::CsvScanner scanner(instructions);
  const auto input = csv::memory_input(text, piece);
  csv::CsvRecord record;
  std::vector<std::string> out;
  while (true) {
    switch (scanner.next(record)) {
      case csv::ScanStatus::kEnd:
        return out;
      case csv::ScanStatus::kMalformed:
        out.push_back("malformed, line " + std::to_string(scanner.problem_line()));
        break;
      case csv::ScanStatus::kRecord:
        out.push_back("line " + std::to_string(record.line));
        for (std::uint32_t i = 0; i < record.field_count; ++i) out.emplace_back(record.raw(i));
        break;
      case csv::ScanStatus::kNeedInput: {
        const std::size_t size = input->read(scanner.space(), {})->size;
        if (size == 0) scanner.finish();
        scanner.commit(size);
      }
    }
  }
}

void check_batch(const TelemetryBatch& batch) {
  std::size_t next = 0;
  for (const Scrape& scrape : batch.scrapes) {
    require(scrape.gpu < batch.gpus.size() && scrape.first_sample == next &&
            scrape.sample_count > 0);
    require(scrape.timestamp >= kEarliestTimestamp);
    next += scrape.sample_count;
  }
  require(next == batch.samples.size());
  for (const Sample& sample : batch.samples) require(sample.metric < batch.metrics.size());
  for (const std::string& name : batch.metrics) require(is_valid_metric_name(name));
  require(std::set(batch.metrics.begin(), batch.metrics.end()).size() == batch.metrics.size());
}

// The sum of all rows that the counters know of.
std::uint64_t read_source(std::string_view text, std::size_t piece) {
  CsvSourceOptions options;
  options.path = "fuzz";
  options.timestamp_mode = TimestampMode::kSource;
  options.window_rows = 7;
  const auto source =
      open_csv_source(options, [text, piece] { return csv::memory_input(text, piece); }, false);
  if (!source) return 0;
  TelemetryBatch batch;
  while (true) {
    const Result<SourceState> state = (*source)->next(batch, 5, {});
    require(state.has_value());
    check_batch(batch);
    if (*state == SourceState::kEnd) break;
  }
  const SourceCounters& counters = (*source)->counters();
  return counters.rows_accepted + counters.rows_malformed + counters.rows_absent;
}

}  // namespace
}  // namespace gpu_telemetry::sources

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gpu_telemetry::sources;
  static const bool configured = [] {
    gpu_telemetry::observability::configure_logging(gpu_telemetry::observability::LogLevel::kError,
                                                    gpu_telemetry::observability::LogFormat::kText,
                                                    "csv_fuzz");
    return true;
  }();
  require(configured);
  if (size == 0) return 0;
  const std::size_t piece = data[0] + 1U;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = records(text, csv::Instructions::kPortable, SIZE_MAX);
  require(records(text, csv::best_instructions(), piece) == whole);
  require(read_source(text, piece) == read_source(text, SIZE_MAX));
  return 0;
}
