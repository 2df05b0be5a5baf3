// The body of GET /api/v1/gpus/{uuid}/telemetry, written piece by piece while the store is read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "domain/result.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

class TelemetryAnswer {
 public:
  // `query.limit` is the page's size; one sample more is asked for, to know whether there is a next
  // page. Blocks. Errors: as TelemetryRepository::query.
  static Result<std::unique_ptr<TelemetryAnswer>> open(storage::TelemetryRepository& telemetry,
                                                       storage::SampleQuery query,
                                                       std::uint64_t question);

  // Appends the next piece of the document to `out`, about `size` bytes or less, and says whether
  // it was the last. Blocks. Errors: kCorrupt, kUnavailable; the document then stays unfinished.
  Result<bool> write(std::string& out, std::size_t size);

  // Where the next page begins; empty when this is the last one. Known after the last piece.
  const std::string& next_cursor() const { return next_cursor_; }

 private:
  TelemetryAnswer() = default;
  void append_samples(std::string& out, std::span<const storage::StoredSample> samples);
  void format_time(Timestamp time);
  void append_end(std::string& out);

  std::unique_ptr<storage::SampleCursor> cursor_;
  std::span<const storage::StoredSample> block_;  // what is left of the cursor's last one
  std::vector<std::string> heads_;                // `{"metric_name":"...","value":` by metric
  std::string uuid_;
  std::uint64_t limit_ = 0;
  std::uint64_t question_ = 0;
  std::uint64_t count_ = 0;
  bool begun_ = false;
  storage::StoredSample last_;
  std::size_t longest_sample_ = 0;  // in characters
  Timestamp time_;                  // whose text is in time_text_
  std::string time_text_;           // `,"timestamp":"..."}`
  std::string next_cursor_;
};

}  // namespace gpu_telemetry::services
