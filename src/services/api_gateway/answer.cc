#include "services/api_gateway/answer.h"

#include <algorithm>
#include <cmath>

#include "services/json/json.h"
#include "services/json/text_room.h"

namespace gpu_telemetry::services {

void append_number_member(std::string& out, std::string_view name, double value) {
  json::append_key(out, name);
  if (std::isfinite(value)) {
    json::append_number(out, value);
  } else {
    out += "null";
  }
}

void append_count_member(std::string& out, std::string_view name, std::uint64_t value) {
  json::append_key(out, name);
  out += std::to_string(value);
}

void append_bool_member(std::string& out, std::string_view name, bool value) {
  json::append_key(out, name);
  out += value ? "true" : "false";
}

void append_null_member(std::string& out, std::string_view name) {
  json::append_key(out, name);
  out += "null";
}

void append_time_member(std::string& out, std::string_view name, Timestamp time) {
  json::append_key(out, name);
  char text[kRfc3339MaxSize];
  out += '"';
  out.append(text, static_cast<std::size_t>(format_rfc3339_to(text, time) - text));
  out += '"';
}

namespace {

// `put` writes one value in at most `longest` characters.
template <class Value, class Put>
void append_array(std::string& out, std::span<const Value> values, std::size_t longest,
                  const Put& put) {
  out += '[';
  TextRoom room(out, longest + 1);
  bool any = false;
  for (const Value value : values) {
    char* at = room.next();
    if (any) *at++ = ',';
    any = true;
    room.end(put(at, value));
  }
  room.finish();
  out += ']';
}

}  // namespace

void append_seconds_member(std::string& out, std::string_view name, Milliseconds duration) {
  append_number_member(out, name, static_cast<double>(duration.count()) / 1000);
}

void separate(std::string& out) {
  if (out.back() != '[') out += ',';
}

const std::string& SeriesMembers::text_of(std::span<const std::int64_t> times) {
  for (const Written& each : written_) {
    if (std::equal(times.begin(), times.end(), each.times.begin(), each.times.end())) {
      return each.text;
    }
  }
  constexpr std::size_t kMostWritten = 8;
  if (written_.size() < kMostWritten) written_.emplace_back();
  Written& fresh = written_[next_];
  next_ = (next_ + 1) % kMostWritten;
  fresh.times.assign(times.begin(), times.end());
  fresh.text.clear();
  append_array(fresh.text, times, json::kIntegerMaxSize, json::put_integer);
  return fresh.text;
}

void SeriesMembers::append(std::string& out, std::span<const std::int64_t> times,
                           std::span<const double> values) {
  json::append_key(out, "times");
  out += text_of(times);
  json::append_key(out, "values");
  append_array(out, values, json::kNumberMaxSize, json::put_number);
}

void append_freshness(std::string& out, const Freshness& freshness) {
  json::append_member(out, "state", to_string(freshness.state));
  append_seconds_member(out, "age_seconds", freshness.age);
  if (freshness.interval.count() > 0) {
    append_seconds_member(out, "scrape_interval_seconds", freshness.interval);
  } else {
    append_null_member(out, "scrape_interval_seconds");
  }
}

void append_gpu(std::string& out, const GpuRecord& record, const Freshness& freshness) {
  const Gpu& gpu = record.gpu;
  out += '{';
  json::append_member(out, "uuid", gpu.uuid.to_string());
  json::append_member(out, "device_id", gpu.device_id);
  json::append_member(out, "gpu_index", gpu.gpu_index);
  json::append_member(out, "model_name", gpu.model_name);
  json::append_member(out, "hostname", gpu.hostname);
  json::append_member(out, "container", gpu.attribution.container);
  json::append_member(out, "pod", gpu.attribution.pod);
  json::append_member(out, "namespace", gpu.attribution.pod_namespace);
  append_time_member(out, "first_seen", record.first_seen);
  append_time_member(out, "last_seen", record.last_seen);
  append_freshness(out, freshness);
  json::append_key(out, "labels");
  out += '{';
  for (const auto& [name, value] : gpu.labels) json::append_member(out, name, value);
  out += "}}";
}

std::string_view unit_of(std::string_view metric) {
  const MetricDefinition* const definition = find_metric(metric);
  return definition != nullptr ? definition->unit : std::string_view();
}

std::string_view kind_of(std::string_view metric) {
  return is_counter(metric) ? "counter" : "gauge";
}

std::string_view help_of(std::string_view metric) {
  const MetricDefinition* const definition = find_metric(metric);
  return definition != nullptr ? definition->help : std::string_view();
}

bool is_counter(std::string_view metric) {
  const MetricDefinition* const definition = find_metric(metric);
  return definition != nullptr && definition->kind == MetricKind::kCounter;
}

}  // namespace gpu_telemetry::services
