#include "wire/scrape_groups.h"

#include <algorithm>
#include <array>

namespace gpu_telemetry::wire {
namespace {

constexpr std::int64_t kEarliest = unix_milliseconds(kEarliestTimestamp);

std::int64_t wrapping_difference(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}
std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

// --- Encoding.

void collect_groups(const TelemetryBatch& batch, ScrapeGroups& groups) {
  std::int64_t gpu_before = -1;
  std::int64_t time_before = kEarliest;
  std::array<PatternStep, kMaxGroup> steps;
  std::uint32_t pattern = 0;
  const std::size_t count = batch.scrapes.size();
  for (std::size_t start = 0; start < count;) {
    const Scrape& first = batch.scrapes[start];
    std::size_t size = 0;
    std::int64_t time = unix_milliseconds(first.timestamp);
    for (; size < kMaxGroup && start + size < count; ++size) {
      const Scrape& scrape = batch.scrapes[start + size];
      if (scrape.gpu != first.gpu) break;
      const Sample* const samples = batch.samples.data() + scrape.first_sample;
      const auto metric_at = [samples](std::size_t i) { return samples[i].metric; };
      // Most GPUs report as the one before them did.
      std::uint32_t shape = 0;
      const bool has_guess = groups.patterns.size() != 0 && size < groups.patterns[pattern].size();
      if (has_guess) shape = groups.patterns[pattern][size].shape;
      if (!has_guess || !groups.shapes.equals(shape, scrape.sample_count, metric_at)) {
        shape = groups.shapes.find_or_add(scrape.sample_count, metric_at);
        groups.shape_uses.resize(groups.shapes.size());
      }
      ++groups.shape_uses[shape];
      const std::int64_t at = unix_milliseconds(scrape.timestamp);
      steps[size] = {wrapping_difference(at, time), shape};
      time = at;
    }
    const auto step_at = [&steps](std::size_t i) { return steps[i]; };
    if (groups.patterns.size() == 0 || !groups.patterns.equals(pattern, size, step_at)) {
      pattern = groups.patterns.find_or_add(size, step_at);
    }
    groups.pattern_of.push_back(pattern);
    groups.gpu_step.push_back(std::int64_t{first.gpu} - gpu_before - 1);
    groups.time_step.push_back(
        wrapping_difference(unix_milliseconds(first.timestamp), time_before));
    gpu_before = first.gpu;
    time_before = unix_milliseconds(first.timestamp);
    start += size;
  }
}

// The first one is far from its base, the rest are near each other.
void append_steps(std::string& out, std::span<const std::int64_t> steps, ColumnScratch& scratch) {
  if (steps.empty()) return;
  io::append_varint(out, io::zigzag(steps[0]));
  append_integers(out, steps.subspan(1), scratch);
}

void count_samples(ScrapeGroups& groups, std::size_t metrics) {
  groups.samples_of_metric.assign(metrics, 0);
  for (std::size_t shape = 0; shape < groups.shapes.size(); ++shape) {
    for (const std::uint32_t metric : groups.shapes[shape]) {
      groups.samples_of_metric[metric] += groups.shape_uses[shape];
    }
  }
}

// --- Decoding. Each returns what is wrong, or null.

using Fault = const char*;

Fault read_shapes(io::ByteReader& reader, std::size_t metrics, ScrapeGroups& groups) {
  const std::uint64_t count = reader.varint();
  if (!reader.ok() || count > reader.remaining()) return "more shapes than there can be";
  for (std::uint64_t shape = 0; shape < count; ++shape) {
    const std::uint64_t size = reader.varint();
    if (!reader.ok() || size > reader.remaining()) return "a longer shape than there can be";
    groups.shapes.start_list();
    std::int64_t metric = -1;
    for (std::uint64_t i = 0; i < size; ++i) {
      metric = wrapping_sum(wrapping_sum(metric, 1), reader.signed_varint());
      if (!reader.ok() || metric < 0 || static_cast<std::uint64_t>(metric) >= metrics) {
        return "a metric that does not exist";
      }
      groups.shapes.add(static_cast<std::uint32_t>(metric));
    }
  }
  groups.shape_uses.assign(groups.shapes.size(), 0);
  return nullptr;
}

Fault read_patterns(io::ByteReader& reader, ScrapeGroups& groups) {
  const std::uint64_t count = reader.varint();
  if (!reader.ok() || count > reader.remaining()) return "more patterns than there can be";
  for (std::uint64_t pattern = 0; pattern < count; ++pattern) {
    const std::uint64_t size = reader.varint();
    if (!reader.ok() || size == 0 || size > kMaxGroup) return "a pattern of no valid length";
    groups.patterns.start_list();
    for (std::uint64_t i = 0; i < size; ++i) {
      PatternStep step;
      if (i != 0) step.gap = reader.signed_varint();
      const std::uint64_t shape = reader.varint();
      if (!reader.ok() || shape >= groups.shapes.size()) return "a shape that does not exist";
      step.shape = static_cast<std::uint32_t>(shape);
      groups.patterns.add(step);
    }
  }
  return nullptr;
}

bool read_steps(io::ByteReader& reader, std::vector<std::int64_t>& steps, ColumnScratch& scratch) {
  if (steps.empty()) return true;
  steps[0] = reader.signed_varint();
  return read_integers(reader, std::span(steps).subspan(1), scratch) && reader.ok();
}

Fault read_groups(io::ByteReader& reader, std::size_t scrape_count, ScrapeGroups& groups,
                  ColumnScratch& scratch) {
  const std::uint64_t count = reader.varint();
  if (!reader.ok() || count > scrape_count) return "more groups than scrapes";
  for (auto* column : {&groups.pattern_of, &groups.gpu_step, &groups.time_step}) {
    column->resize(static_cast<std::size_t>(count));
  }
  if (!read_integers(reader, groups.pattern_of, scratch)) return "a malformed column of patterns";
  if (!read_steps(reader, groups.gpu_step, scratch)) return "a malformed column of GPUs";
  if (!read_steps(reader, groups.time_step, scratch)) return "a malformed column of times";
  for (const std::int64_t pattern : groups.pattern_of) {
    if (pattern < 0 || static_cast<std::uint64_t>(pattern) >= groups.patterns.size()) {
      return "a pattern that does not exist";
    }
  }
  return nullptr;
}

Fault make_scrapes(std::size_t scrape_count, std::size_t sample_count, ScrapeGroups& groups,
                   TelemetryBatch& batch) {
  std::int64_t gpu = -1;
  std::int64_t group_time = kEarliest;
  std::size_t samples = 0;
  std::size_t made = 0;
  batch.scrapes.resize(scrape_count);
  for (std::size_t group = 0; group < groups.pattern_of.size(); ++group) {
    gpu = wrapping_sum(wrapping_sum(gpu, 1), groups.gpu_step[group]);
    if (gpu < 0 || static_cast<std::uint64_t>(gpu) >= batch.gpus.size()) {
      return "a GPU that does not exist";
    }
    group_time = wrapping_sum(group_time, groups.time_step[group]);
    std::int64_t time = group_time;
    const auto pattern = groups.patterns[static_cast<std::size_t>(groups.pattern_of[group])];
    if (pattern.size() > scrape_count - made) return "more scrapes than were announced";
    for (const PatternStep& step : pattern) {
      time = wrapping_sum(time, step.gap);
      if (time < kEarliest) return "a time before 2001-09-10";
      const std::size_t size = groups.shapes[step.shape].size();
      if (size > sample_count - samples) return "more samples than were announced";
      batch.scrapes[made++] = {static_cast<std::uint32_t>(gpu), static_cast<std::uint32_t>(samples),
                               static_cast<std::uint32_t>(size), from_unix_milliseconds(time)};
      samples += size;
      ++groups.shape_uses[step.shape];
    }
  }
  if (made != scrape_count) return "fewer scrapes than were announced";
  if (samples != sample_count) return "fewer samples than were announced";
  return nullptr;
}

void clear(ScrapeGroups& groups) {
  groups.shapes.clear();
  groups.patterns.clear();
  groups.pattern_of.clear();
  groups.gpu_step.clear();
  groups.time_step.clear();
  groups.shape_uses.clear();
}

}  // namespace

void append_scrapes(std::string& out, const TelemetryBatch& batch, ScrapeGroups& groups,
                    ColumnScratch& scratch) {
  clear(groups);
  collect_groups(batch, groups);
  count_samples(groups, batch.metrics.size());

  io::append_varint(out, groups.shapes.size());
  for (std::size_t shape = 0; shape < groups.shapes.size(); ++shape) {
    io::append_varint(out, groups.shapes[shape].size());
    std::int64_t before = -1;
    for (const std::uint32_t metric : groups.shapes[shape]) {
      io::append_varint(out, io::zigzag(std::int64_t{metric} - before - 1));
      before = metric;
    }
  }
  io::append_varint(out, groups.patterns.size());
  for (std::size_t pattern = 0; pattern < groups.patterns.size(); ++pattern) {
    io::append_varint(out, groups.patterns[pattern].size());
    bool is_first = true;
    for (const PatternStep& step : groups.patterns[pattern]) {
      if (!is_first) io::append_varint(out, io::zigzag(step.gap));
      io::append_varint(out, step.shape);
      is_first = false;
    }
  }
  io::append_varint(out, groups.pattern_of.size());
  append_integers(out, groups.pattern_of, scratch);
  append_steps(out, groups.gpu_step, scratch);
  append_steps(out, groups.time_step, scratch);
}

Result<void> read_scrapes(io::ByteReader& reader, std::size_t scrape_count,
                          std::size_t sample_count, ScrapeGroups& groups, ColumnScratch& scratch,
                          TelemetryBatch& batch) {
  clear(groups);
  Fault fault = read_shapes(reader, batch.metrics.size(), groups);
  if (!fault) fault = read_patterns(reader, groups);
  if (!fault) fault = read_groups(reader, scrape_count, groups, scratch);
  if (!fault) fault = make_scrapes(scrape_count, sample_count, groups, batch);
  if (fault) return corrupt(fault);
  count_samples(groups, batch.metrics.size());
  return {};
}

}  // namespace gpu_telemetry::wire
