#include "storage/embedded/gpu_rows.h"

#include <cstring>
#include <utility>

#include "io/bytes.h"

namespace gpu_telemetry::storage::embedded {

namespace {

constexpr std::size_t kUuidSize = 17;  // kind, then the 16 bytes

std::string encode_uuid(const GpuUuid& uuid) {
  std::string bytes(1, static_cast<char>(uuid.kind()));
  bytes.append(reinterpret_cast<const char*>(uuid.bytes().data()), uuid.bytes().size());
  return bytes;
}

Result<GpuUuid> decode_uuid(std::string_view bytes) {
  if (bytes.size() != kUuidSize || static_cast<std::uint8_t>(bytes[0]) > 1) {
    return corrupt("catalogue: a GPU's UUID is not one kind byte (0 or 1) and 16 bytes");
  }
  std::array<std::uint8_t, 16> raw{};
  std::memcpy(raw.data(), bytes.data() + 1, raw.size());
  return GpuUuid(static_cast<GpuUuid::Kind>(bytes[0]), raw);
}

std::string encode_labels(const Gpu& gpu) {
  std::string bytes;
  for (const auto& [name, value] : gpu.labels) {
    io::append_varint(bytes, name.size());
    bytes += name;
    io::append_varint(bytes, value.size());
    bytes += value;
  }
  return bytes;
}

Result<void> decode_labels(std::string_view bytes, Gpu& gpu) {
  io::ByteReader reader(bytes);
  while (reader.ok() && reader.remaining() > 0) {
    const std::string_view name = reader.sized_bytes();
    const std::string_view value = reader.sized_bytes();
    gpu.labels.emplace_back(name, value);
  }
  if (reader.ok()) return {};
  return corrupt("catalogue: the labels of " + gpu.uuid.to_string() + " end in the middle");
}

AttributionInterval interval_at(const Statement& statement, int column) {
  AttributionInterval interval;
  interval.start = from_unix_milliseconds(statement.integer(column));
  interval.end = from_unix_milliseconds(statement.integer(column + 1));
  interval.who.container = statement.bytes(column + 2);
  interval.who.pod = statement.bytes(column + 3);
  interval.who.pod_namespace = statement.bytes(column + 4);
  return interval;
}

}  // namespace

Result<void> visit_gpus(Database& database, const std::function<void(GpuRecord&&)>& visit) {
  auto statement = database.prepare(
      "SELECT uuid, device_id, gpu_index, model_name, hostname, container, pod, namespace, labels, "
      "first_seen, last_seen FROM gpus ORDER BY uuid");
  if (!statement) return statement.error();
  while (true) {
    const auto row = statement->step();
    if (!row) return row.error();
    if (!*row) return {};
    const auto uuid = decode_uuid(statement->bytes(0));
    if (!uuid) return uuid.error();
    GpuRecord record;
    record.gpu.uuid = *uuid;
    record.gpu.device_id = statement->bytes(1);
    record.gpu.gpu_index = statement->bytes(2);
    record.gpu.model_name = statement->bytes(3);
    record.gpu.hostname = statement->bytes(4);
    record.gpu.attribution.container = statement->bytes(5);
    record.gpu.attribution.pod = statement->bytes(6);
    record.gpu.attribution.pod_namespace = statement->bytes(7);
    const auto labels = decode_labels(statement->bytes(8), record.gpu);
    if (!labels) return labels;
    record.first_seen = from_unix_milliseconds(statement->integer(9));
    record.last_seen = from_unix_milliseconds(statement->integer(10));
    visit(std::move(record));
  }
}

Result<void> visit_newest_intervals(
    Database& database, const std::function<void(const GpuUuid&, AttributionInterval&&)>& visit) {
  // SQLite takes the bare columns from the row of the maximum (lang_select, section 2.5).
  auto statement = database.prepare(
      "SELECT uuid, max(start), end, container, pod, namespace FROM attribution GROUP BY uuid");
  if (!statement) return statement.error();
  while (true) {
    const auto row = statement->step();
    if (!row) return row.error();
    if (!*row) return {};
    const auto uuid = decode_uuid(statement->bytes(0));
    if (!uuid) return uuid.error();
    visit(*uuid, interval_at(*statement, 1));
  }
}

Result<std::vector<AttributionInterval>> read_intervals(Database& database, const GpuUuid& uuid,
                                                        Timestamp start, Timestamp end) {
  auto statement = database.prepare(
      "SELECT start, end, container, pod, namespace FROM attribution "
      "WHERE uuid = ? AND start <= ? AND end >= ? ORDER BY start");
  if (!statement) return statement.error();
  statement->bind_blob(1, encode_uuid(uuid))
      .bind(2, unix_milliseconds(end))
      .bind(3, unix_milliseconds(start));
  std::vector<AttributionInterval> intervals;
  while (true) {
    const auto row = statement->step();
    if (!row) return row.error();
    if (!*row) return intervals;
    intervals.push_back(interval_at(*statement, 0));
  }
}

Result<std::vector<AttributionInterval>> read_intervals_in_force(Database& database,
                                                                 const GpuUuid& uuid,
                                                                 Timestamp start, Timestamp end) {
  auto statement = database.prepare(
      "SELECT start, coalesce(lead(start) OVER (ORDER BY start) - 1, ?2), container, pod, "
      "namespace "
      "FROM attribution WHERE uuid = ?1 ORDER BY start");
  if (!statement) return statement.error();
  statement->bind_blob(1, encode_uuid(uuid)).bind(2, unix_milliseconds(Timestamp::max()));
  std::vector<AttributionInterval> intervals;
  while (true) {
    const auto row = statement->step();
    if (!row) return row.error();
    if (!*row) return intervals;
    AttributionInterval interval = interval_at(*statement, 0);
    if (interval.start <= end && interval.end >= start) intervals.push_back(std::move(interval));
  }
}

Result<void> remove_intervals_before(Database& database, Timestamp before) {
  auto statement = database.prepare(
      "DELETE FROM attribution WHERE end < ? AND start < "
      "(SELECT max(newer.start) FROM attribution AS newer WHERE newer.uuid = attribution.uuid)");
  if (!statement) return statement.error();
  return statement->bind(1, unix_milliseconds(before)).run();
}

Result<GpuRowWriter> GpuRowWriter::prepare(Database& database) {
  auto gpu = database.prepare(
      "INSERT OR REPLACE INTO gpus (uuid, device_id, gpu_index, model_name, hostname, container, "
      "pod, namespace, labels, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!gpu) return gpu.error();
  auto interval = database.prepare(
      "INSERT OR REPLACE INTO attribution (uuid, start, end, container, pod, namespace) "
      "VALUES (?, ?, ?, ?, ?, ?)");
  if (!interval) return interval.error();
  auto removal = database.prepare("DELETE FROM attribution WHERE uuid = ?");
  if (!removal) return removal.error();
  return GpuRowWriter(std::move(*gpu), std::move(*interval), std::move(*removal));
}

Result<void> GpuRowWriter::write_gpu(const GpuRecord& record) {
  const Gpu& gpu = record.gpu;
  return gpu_.bind_blob(1, encode_uuid(gpu.uuid))
      .bind_text(2, gpu.device_id)
      .bind_text(3, gpu.gpu_index)
      .bind_text(4, gpu.model_name)
      .bind_text(5, gpu.hostname)
      .bind_text(6, gpu.attribution.container)
      .bind_text(7, gpu.attribution.pod)
      .bind_text(8, gpu.attribution.pod_namespace)
      .bind_blob(9, encode_labels(gpu))
      .bind(10, unix_milliseconds(record.first_seen))
      .bind(11, unix_milliseconds(record.last_seen))
      .run();
}

Result<void> GpuRowWriter::write_interval(const GpuUuid& uuid,
                                          const AttributionInterval& interval) {
  return interval_.bind_blob(1, encode_uuid(uuid))
      .bind(2, unix_milliseconds(interval.start))
      .bind(3, unix_milliseconds(interval.end))
      .bind_text(4, interval.who.container)
      .bind_text(5, interval.who.pod)
      .bind_text(6, interval.who.pod_namespace)
      .run();
}

Result<void> GpuRowWriter::remove_intervals(const GpuUuid& uuid) {
  return removal_.bind_blob(1, encode_uuid(uuid)).run();
}

}  // namespace gpu_telemetry::storage::embedded
