#include "storage/mongodb/point_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "storage/mongodb/point_id.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

// A document may have 16 MiB; the rest is for its other members.
constexpr std::size_t kMostUpdateBytes = (16u << 20) - (64u << 10);

struct Place {
  GpuUuid gpu;
  Timestamp time;
  std::uint32_t batch;
  std::uint32_t scrape;
  friend auto operator<=>(const Place&, const Place&) = default;
  bool same_point(const Place& other) const { return gpu == other.gpu && time == other.time; }
};

std::vector<Place> sorted_places(std::span<const BatchToWrite> batches) {
  std::vector<Place> places;
  for (std::uint32_t b = 0; b < batches.size(); ++b) {
    const TelemetryBatch& batch = *batches[b].batch;
    for (std::uint32_t s = 0; s < batch.scrapes.size(); ++s) {
      const Scrape& scrape = batch.scrapes[s];
      if (scrape.sample_count == 0) continue;
      places.push_back({batch.gpus[scrape.gpu]->uuid, scrape.timestamp, b, s});
    }
  }
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace

PointBatch::PointBatch(std::span<const BatchToWrite> batches) {
  std::unordered_map<std::string_view, std::uint32_t> ids;
  std::vector<std::vector<std::uint32_t>> id_of(batches.size());
  for (std::size_t b = 0; b < batches.size(); ++b) {
    for (const std::string& name : batches[b].batch->metrics) {
      const auto [place, is_new] = ids.try_emplace(name, static_cast<std::uint32_t>(names_.size()));
      if (is_new) {
        names_.push_back(name);
        paths_.push_back("metrics." + name);
      }
      id_of[b].push_back(place->second);
    }
  }

  const std::vector<Place> places = sorted_places(batches);
  // Where the metric stands in readings_, when that is at or past the point's first.
  std::vector<std::size_t> standing(names_.size(), SIZE_MAX);
  for (std::size_t p = 0; p < places.size(); ++p) {
    const Place& place = places[p];
    if (p == 0 || !place.same_point(places[p - 1])) {
      points_.push_back({place.gpu, place.time, readings_.size(), 0});
    }
    const std::size_t first = points_.back().first_reading;
    const TelemetryBatch& batch = *batches[place.batch].batch;
    const Scrape& scrape = batch.scrapes[place.scrape];
    for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
      const Sample& sample = batch.samples[scrape.first_sample + i];
      const std::uint32_t metric = id_of[place.batch][sample.metric];
      std::size_t& stands = standing[metric];
      if (stands != SIZE_MAX && stands >= first) {
        readings_[stands].value = sample.value;
      } else {
        stands = readings_.size();
        readings_.push_back({metric, sample.value});
      }
    }
    points_.back().reading_count = readings_.size() - first;
  }
}

std::vector<GpuMetricTimes> PointBatch::metric_times() const {
  std::vector<GpuMetricTimes> gpus;
  std::vector<std::size_t> standing(names_.size());
  std::vector<std::size_t> of_gpu(names_.size(), SIZE_MAX);
  for (const Point& point : points_) {
    if (gpus.empty() || gpus.back().gpu != point.gpu) gpus.push_back({point.gpu, {}});
    std::vector<MetricTimes>& metrics = gpus.back().metrics;
    for (std::size_t i = 0; i < point.reading_count; ++i) {
      const std::uint32_t metric = readings_[point.first_reading + i].metric;
      if (of_gpu[metric] == gpus.size()) {
        metrics[standing[metric]].last = point.time;  // points are in time order
      } else {
        of_gpu[metric] = gpus.size();
        standing[metric] = metrics.size();
        metrics.push_back({metric, point.time, point.time});
      }
    }
  }
  return gpus;
}

Result<void> PointBatch::fill_upsert(std::size_t i, Timestamp now,
                                     std::chrono::milliseconds retention, Document& selector,
                                     Document& update) const {
  const Point& point = points_[i];
  selector.text("_id", PointId(point.gpu, point.time).text());
  bson_t set;
  bool ok = bson_append_document_begin(update.get(), "$set", -1, &set);
  for (std::size_t r = 0; ok && r < point.reading_count; ++r) {
    const Reading& reading = readings_[point.first_reading + r];
    const std::string& path = paths_[reading.metric];
    ok = bson_append_double(&set, path.data(), static_cast<int>(path.size()), reading.value);
  }
  ok = ok && bson_append_document_end(update.get(), &set);
  if (!ok || update.bytes() > kMostUpdateBytes) {
    return invalid(fmt::format("a scrape of {} has {} metrics, more than the 16 MiB of a document",
                               point.gpu.to_string(), point.reading_count));
  }
  Document on_insert;
  on_insert.text("gpu_uuid", point.gpu.to_string()).date("timestamp", point.time);
  if (retention.count() > 0) {
    on_insert.date("expires_at", std::max(point.time, now) + retention);
  }
  update.document("$setOnInsert", on_insert);
  return {};
}

}  // namespace gpu_telemetry::storage::mongodb
