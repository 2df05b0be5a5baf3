// What the settings ask for, made: the parts that several services have in common.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "config/settings.h"
#include "domain/result.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "queue/message_queue.h"
#include "services/collector/collector.h"
#include "services/streamer/streamer.h"
#include "sources/source.h"
#include "storage/embedded/embedded_store.h"

namespace gpu_telemetry::services {

StreamerOptions streamer_options(const config::Settings& settings);
// The same for a streamer whose source others read too: its shards are leased by the queue, unless
// SHARD_INDEX or SHARD_COUNT give it a fixed part.
StreamerOptions shared_streamer_options(const config::Settings& settings);
CollectorOptions collector_options(const config::Settings& settings);

// The source of SOURCE. Errors: of the source, saying which setting chooses another one.
Result<std::unique_ptr<sources::Source>> open_source(const config::Settings& settings);

// The engine of QUEUE_ENGINE, in this process. `store_path` holds the durable queue's folder when
// QUEUE_DATA_DIR names none; a write of it that fails makes `health` fail. `consumers_are_local`:
// see DurableQueueOptions. Damage is logged. Errors: of the engine.
Result<std::unique_ptr<queue::MessageQueue>> open_queue_engine(
    const config::Settings& settings, const std::string& store_path, bool consumers_are_local,
    boost::asio::any_io_executor executor, observability::Health& health);

// The folder of an `embedded:PATH` STORAGE_URI. Errors: kInvalid for any other.
Result<std::string> embedded_store_path(const config::Settings& settings);

// The embedded store there. Damage is logged. Errors: as EmbeddedStore::open.
Result<std::unique_ptr<storage::embedded::EmbeddedStore>> open_embedded_store(
    const config::Settings& settings, observability::Metrics& metrics);

}  // namespace gpu_telemetry::services
