// The plainest BatchCodec, for tests of storage: what storage does must not depend on the encoding.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "domain/batch_codec.h"
#include "io/bytes.h"

namespace gpu_telemetry::storage::embedded {

class PlainBatchCodec final : public BatchCodec {
 public:
  void encode(const TelemetryBatch& batch, std::string& out) const override {
    out.clear();
    io::append_varint(out, batch.gpus.size());
    for (const GpuPointer& gpu : batch.gpus) {
      out.push_back(static_cast<char>(gpu->uuid.kind()));
      out.append(reinterpret_cast<const char*>(gpu->uuid.bytes().data()), 16);
    }
    io::append_varint(out, batch.metrics.size());
    for (const std::string& name : batch.metrics) {
      io::append_varint(out, name.size());
      out += name;
    }
    io::append_varint(out, batch.scrapes.size());
    for (const Scrape& scrape : batch.scrapes) {
      io::append_varint(out, scrape.gpu);
      io::append_varint(out, scrape.sample_count);
      io::append_fixed(out, unix_milliseconds(scrape.timestamp));
    }
    for (const Sample& sample : batch.samples) {
      io::append_varint(out, sample.metric);
      io::append_fixed(out, sample.value);
    }
  }

  Result<void> decode(std::string_view bytes, TelemetryBatch& out) const override {
    out.clear();
    io::ByteReader in(bytes);
    for (std::uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
      auto gpu = std::make_shared<Gpu>();
      const auto kind = static_cast<GpuUuid::Kind>(in.fixed<std::uint8_t>() & 1);
      gpu->uuid = GpuUuid(kind, in.fixed<std::array<std::uint8_t, 16>>());
      out.gpus.push_back(std::move(gpu));
    }
    for (std::uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
      out.metrics.emplace_back(in.sized_bytes());
    }
    std::uint64_t samples = 0;
    for (std::uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
      Scrape scrape;
      scrape.gpu = static_cast<std::uint32_t>(in.varint());
      scrape.first_sample = static_cast<std::uint32_t>(samples);
      scrape.sample_count = static_cast<std::uint32_t>(in.varint());
      scrape.timestamp = from_unix_milliseconds(in.fixed<std::int64_t>());
      if (scrape.gpu >= out.gpus.size()) in.fail();
      samples += scrape.sample_count;
      out.scrapes.push_back(scrape);
    }
    for (; samples > 0 && in.ok(); --samples) {
      const auto metric = static_cast<std::uint32_t>(in.varint());
      if (metric >= out.metrics.size()) in.fail();
      out.samples.push_back({metric, in.fixed<double>()});
    }
    if (in.ok() && in.remaining() == 0) return {};
    return corrupt("plain batch: damaged near byte " + std::to_string(in.offset()));
  }
};

}  // namespace gpu_telemetry::storage::embedded
