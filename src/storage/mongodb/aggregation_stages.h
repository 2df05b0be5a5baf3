// Stages and expressions of aggregation pipelines.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "storage/mongodb/connections.h"

namespace gpu_telemetry::storage::mongodb {

// {NAME: "of"}
Document expression(std::string_view name, std::string_view of);

// {NAME: [a, b]}, where each adds itself to a document under the name that it is given.
template <class A, class B>
Document operation(std::string_view name, const A& a, const B& b) {
  Document arguments;
  a(arguments, "0");
  b(arguments, "1");
  Document document;
  document.array(name, arguments);
  return document;
}

// Appends {NAME: body} to a pipeline.
void add_stage(Array& pipeline, std::string_view name, const Document& body);

// {gpu: "$gpu_uuid", bucket: ...}: by GPU, and by time less what is left of it after whole steps
// since the epoch ($dateTrunc has no step of any length).
Document bucket_key(Milliseconds step);

// A range of a GPU's points.
struct PointRange {
  GpuUuid gpu;
  Timestamp start;
  Timestamp end;  // inclusive
};

// Points of any of the ranges; those that have the metric, when it is not empty.
Document match_ranges(std::span<const PointRange> ranges, std::string_view metric);

// Runs a pipeline over telemetry_points and calls `visit` with each document of its answer.
Result<void> run_pipeline(const Connection& connection, const Array& stages, std::string_view doing,
                          const std::function<Result<void>(const DocumentView&)>& visit);

// What a document that is none of ours is answered with.
Error foreign_document();

}  // namespace gpu_telemetry::storage::mongodb
