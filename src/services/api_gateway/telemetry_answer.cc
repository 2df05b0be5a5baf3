#include "services/api_gateway/telemetry_answer.h"

#include <algorithm>

#include "services/api_gateway/json.h"
#include "services/api_gateway/page_cursor.h"

namespace gpu_telemetry::services {
namespace {

// What follows the head of a sample: its value and its time, and a comma before the next.
constexpr std::size_t kTailMaxSize =
    json::kNumberMaxSize + kRfc3339MaxSize + std::string_view(",\"timestamp\":\"\"},").size();

}  // namespace

Result<std::unique_ptr<TelemetryAnswer>> TelemetryAnswer::open(
    storage::TelemetryRepository& telemetry, storage::SampleQuery query, std::uint64_t question) {
  std::unique_ptr<TelemetryAnswer> answer(new TelemetryAnswer);
  answer->limit_ = query.limit;
  answer->question_ = question;
  answer->uuid_ = query.gpu.to_string();
  ++query.limit;
  auto cursor = telemetry.query(query);
  if (!cursor) return cursor.error();
  answer->cursor_ = std::move(*cursor);
  for (const std::string& name : answer->cursor_->metric_names()) {
    std::string head = "{";
    json::append_member(head, "metric_name", name);
    head += ",\"value\":";
    answer->longest_sample_ = std::max(answer->longest_sample_, head.size() + kTailMaxSize);
    answer->heads_.push_back(std::move(head));
  }
  return answer;
}

Result<bool> TelemetryAnswer::write(std::string& out, std::size_t size) {
  if (!begun_) {
    begun_ = true;
    out += "{";
    json::append_member(out, "gpu_uuid", uuid_);
    out += ",\"telemetry\":[";
  }
  const std::size_t enough = out.size() + size;
  while (out.size() < enough) {
    if (block_.empty()) {
      auto next = cursor_->next();
      if (!next) return next.error();
      block_ = *next;
    }
    if (block_.empty() || count_ == limit_) {
      append_end(out);
      return true;
    }
    const std::size_t room = (enough - out.size()) / longest_sample_ + 1;
    const std::uint64_t wanted = std::min<std::uint64_t>({block_.size(), limit_ - count_, room});
    append_samples(out, block_.first(static_cast<std::size_t>(wanted)));
    block_ = block_.subspan(static_cast<std::size_t>(wanted));
  }
  return false;
}

void TelemetryAnswer::format_time(Timestamp time) {
  char text[kRfc3339MaxSize];
  time_ = time;
  time_text_ = ",\"timestamp\":\"";
  time_text_.append(text, static_cast<std::size_t>(format_rfc3339_to(text, time) - text));
  time_text_ += "\"}";
}

// Writes into room made beforehand, a piece at a time: the checks and counts of appending to a
// string cost several times what the characters cost.
void TelemetryAnswer::append_samples(std::string& out,
                                     std::span<const storage::StoredSample> samples) {
  const std::size_t before = out.size();
  out.resize(before + samples.size() * longest_sample_);
  char* at = out.data() + before;
  for (const storage::StoredSample& sample : samples) {
    if (time_text_.empty() || sample.timestamp != time_) format_time(sample.timestamp);
    if (count_++ > 0) *at++ = ',';
    const std::string& head = heads_[sample.metric];
    at = std::copy_n(head.data(), head.size(), at);
    at = json::put_number(at, sample.value);
    at = std::copy_n(time_text_.data(), time_text_.size(), at);
  }
  out.resize(static_cast<std::size_t>(at - out.data()));
  last_ = samples.back();
}

void TelemetryAnswer::append_end(std::string& out) {
  out += "],\"count\":";
  out += std::to_string(count_);
  if (!block_.empty()) {
    const std::span<const std::string> names = cursor_->metric_names();
    next_cursor_ = encode_cursor(question_, {last_.timestamp, names[last_.metric]});
    json::append_member(out, "next_cursor", next_cursor_);
  }
  out += '}';
}

}  // namespace gpu_telemetry::services
