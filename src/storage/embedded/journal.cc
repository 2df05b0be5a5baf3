#include "storage/embedded/journal.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/bytes.h"

namespace gpu_telemetry::storage::embedded {

namespace {

constexpr std::uint64_t kLargestRecord = ByteSize{16_MiB}.bytes;

// The scrapes [begin, end) of a batch, as a batch.
TelemetryBatch part_of(const TelemetryBatch& batch, std::size_t begin, std::size_t end) {
  TelemetryBatch part;
  part.gpus = batch.gpus;
  part.metrics = batch.metrics;
  const std::uint32_t first = batch.scrapes[begin].first_sample;
  const Scrape& last = batch.scrapes[end - 1];
  part.scrapes.assign(batch.scrapes.begin() + static_cast<std::ptrdiff_t>(begin),
                      batch.scrapes.begin() + static_cast<std::ptrdiff_t>(end));
  for (Scrape& scrape : part.scrapes) scrape.first_sample -= first;
  part.samples.assign(batch.samples.begin() + first,
                      batch.samples.begin() + last.first_sample + last.sample_count);
  return part;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const JournalOptions& options, std::uint64_t floor,
                                               const Visit& replay, JournalReport& report) {
  const std::uint64_t largest_record = std::min(kLargestRecord, options.segment_size.bytes / 4);
  std::unique_ptr<Journal> journal(
      new Journal(*options.codec, static_cast<std::size_t>(largest_record)));
  log::SegmentLogOptions log_options;
  log_options.directory = options.directory;
  log_options.segment_size = options.segment_size;
  log_options.max_record_size = ByteSize{largest_record};
  log_options.files = options.files;

  TelemetryBatch batch;
  const auto visit = [&](const log::Record& record) -> Result<void> {
    if (record.position.segment < floor) return {};
    const auto damaged = [&](std::string_view what) {
      report.damage.push_back(fmt::format("journal segment {}, offset {}: {}",
                                          record.position.segment, record.position.offset, what));
    };
    if (record.type != kBatchRecord || record.payload.size() < sizeof(std::int64_t)) {
      damaged(fmt::format("a record of type {} and {} bytes is none of the store's", record.type,
                          record.payload.size()));
      return {};
    }
    const auto decoded = options.codec->decode(record.payload.substr(sizeof(std::int64_t)), batch);
    if (!decoded) {
      if (decoded.error().code == ErrorCode::kInvalid) return decoded.error();
      damaged(decoded.error().message);
      return {};
    }
    ++report.batches;
    return replay(batch, io::load_fixed<std::int64_t>(record.payload.data()));
  };
  log::RecoveryReport recovery;
  auto opened = log::SegmentLog::open(std::move(log_options), visit, &recovery);
  if (!opened) return opened.error();
  journal->log_ = std::move(*opened);
  report.torn_tail_bytes = recovery.torn_tail_bytes;
  report.damage.insert(report.damage.end(), recovery.damage.begin(), recovery.damage.end());
  return journal;
}

Result<void> Journal::encode(const TelemetryBatch& batch, std::vector<std::string>& encoded) const {
  // Halves of halves, until each is small enough.
  std::vector<std::pair<std::size_t, std::size_t>> parts{{0, batch.scrapes.size()}};
  while (!parts.empty()) {
    const auto [begin, end] = parts.back();
    parts.pop_back();
    std::string bytes;
    const bool whole = begin == 0 && end == batch.scrapes.size();
    if (whole) {
      codec_.encode(batch, bytes);
    } else {
      codec_.encode(part_of(batch, begin, end), bytes);
    }
    if (bytes.size() <= largest_batch_) {
      encoded.push_back(std::move(bytes));
      continue;
    }
    if (end - begin < 2) {
      return invalid(fmt::format("a scrape of {} samples takes {} bytes; the journal takes {}",
                                 batch.scrapes[begin].sample_count, bytes.size(), largest_batch_));
    }
    const std::size_t middle = begin + (end - begin) / 2;
    parts.emplace_back(middle, end);
    parts.emplace_back(begin, middle);
  }
  return {};
}

Result<void> Journal::append(std::span<const BatchToWrite> batches, std::int64_t stored_at) {
  std::string time;
  io::append_fixed(time, stored_at);
  std::vector<std::vector<std::string>> encoded(batches.size());
  std::vector<std::string_view> pieces;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const BatchToWrite& batch = batches[i];
    if (!batch.encoded.empty() && batch.encoded.size() <= largest_batch_) {
      pieces.insert(pieces.end(), {time, batch.encoded});
      continue;
    }
    const auto done = encode(*batch.batch, encoded[i]);
    if (!done) return done;
    for (const std::string& bytes : encoded[i]) pieces.insert(pieces.end(), {time, bytes});
  }
  std::vector<log::SegmentLog::Piece> records;
  for (std::size_t i = 0; i < pieces.size(); i += 2) {
    records.push_back({kBatchRecord, std::span(pieces).subspan(i, 2)});
  }
  const auto appended = log_->append_all(records, log::Durability::kSync);
  if (!appended) return appended.error();
  return {};
}

}  // namespace gpu_telemetry::storage::embedded
