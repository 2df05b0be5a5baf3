// Answers a SampleQuery from files and heads.
#pragma once

#include <functional>
#include <memory>

#include "storage/embedded/version.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

// Called when a column of a file turned out to be damaged.
using DamageReport = std::function<void(const StoredFile& file, const Error& error)>;

// Whether no file has a part in the answer, and heads have `most` samples or fewer to look at.
bool is_read_from_memory(const ReadContext& context, const SampleQuery& query, std::uint64_t most);

std::unique_ptr<SampleCursor> make_sample_cursor(ReadContext context, const SampleQuery& query,
                                                 DamageReport report_damage);

}  // namespace gpu_telemetry::storage::embedded
