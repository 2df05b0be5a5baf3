#include <chrono>

#include "domain/time.h"
#include "http/encoding.h"
#include "queue/http_api/base64.h"
#include "queue/http_api/json_body.h"

namespace gpu_telemetry::queue::json {
namespace {

// Whether the text needs no escape: ids, receipts and names, and most payloads of numbers.
bool is_plain(std::string_view text) {
  for (const char c : text) {
    if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') return false;
  }
  return true;
}

void append_string(std::string& out, std::string_view text) {
  if (!is_plain(text)) {
    out += http::json_string(text);
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out += '"';
  out += name;
  out += "\":";
  append_string(out, text);
  out += ',';
}

void append_flag(std::string& out, std::string_view name, bool value) {
  out += '"';
  out += name;
  out += value ? "\":true," : "\":false,";
}

void append_member(std::string& out, std::string_view name, std::uint64_t value) {
  out += '"';
  out += name;
  out += "\":";
  out += std::to_string(value);
  out += ',';
}

// The comma that the last member left becomes the end of what holds it.
void close(std::string& out, char end) {
  if (out.back() == ',') {
    out.back() = end;
  } else {
    out += end;
  }
}

void append_payload(std::string& out, const std::string& payload) {
  if (http::is_valid_utf8(payload)) {
    append_member(out, "payload", payload);
  } else {
    append_member(out, "payload_base64", encode_base64(payload));
  }
}

void append_headers(std::string& out, const Headers& headers) {
  out += "\"headers\":{";
  for (const auto& [name, value] : headers) {
    append_string(out, name);
    out += ':';
    append_string(out, value);
    out += ',';
  }
  close(out, '}');
  out += ',';
}

void append_delivery(std::string& out, const Delivery& delivery) {
  out += '{';
  append_member(out, "message_id", delivery.message_id);
  append_member(out, "receipt", delivery.receipt);
  append_payload(out, *delivery.payload);
  append_headers(out, delivery.headers);
  append_member(out, "timestamp", format_rfc3339(delivery.published));
  append_member(out, "delivery_count", delivery.delivery_count);
  close(out, '}');
}

void append_result(std::string& out, const PublishResult& result) {
  append_member(out, "message_id", result.message_id);
  if (result.duplicate) out += "\"duplicate\":true,";
}

void append_group(std::string& out, const GroupStatistics& group) {
  out += '{';
  append_member(out, "consumer_group", group.group);
  append_member(out, "ready", group.ready);
  append_member(out, "in_flight", group.in_flight);
  append_member(out, "delayed", group.delayed);
  append_member(out, "dead", group.dead);
  append_member(out, "delivered_total", group.delivered_total);
  append_member(out, "redelivered_total", group.redelivered_total);
  append_member(out, "acked_total", group.acked_total);
  append_member(out, "nacked_total", group.nacked_total);
  append_member(out, "expired_total", group.expired_total);
  append_member(out, "dead_total", group.dead_total);
  append_member(out, "dead_dropped_total", group.dead_dropped_total);
  const auto oldest = static_cast<std::uint64_t>(group.oldest_age.count());
  const std::string fraction = std::to_string(1000 + oldest % 1000).substr(1);
  out += "\"oldest_age_seconds\":" + std::to_string(oldest / 1000) + "." + fraction + ",";
  append_member(out, "consumers", group.consumers);
  close(out, '}');
}

}  // namespace

std::string write_published(const std::vector<PublishResult>& results, bool batch) {
  std::string out = R"({"status":"success",)";
  if (!batch && results.size() == 1) {
    append_result(out, results.front());
    close(out, '}');
    return out;
  }
  out += "\"results\":[";
  for (const PublishResult& result : results) {
    out += '{';
    append_result(out, result);
    close(out, '}');
    out += ',';
  }
  close(out, ']');
  out += '}';
  return out;
}

std::string write_delivery(const Delivery& delivery) {
  std::string out;
  append_delivery(out, delivery);
  return out;
}

std::string write_deliveries(const std::vector<Delivery>& deliveries) {
  std::size_t size = 40;
  for (const Delivery& delivery : deliveries) size += delivery.payload->size() * 4 / 3 + 250;
  std::string out;
  out.reserve(size);
  out += "{\"messages\":[";
  for (const Delivery& delivery : deliveries) {
    append_delivery(out, delivery);
    out += ',';
  }
  close(out, ']');
  out += ',';
  append_member(out, "count", deliveries.size());
  close(out, '}');
  return out;
}

std::string write_settled(const std::vector<std::string>& receipts_or_ids,
                          const std::vector<Settled>& results) {
  std::uint64_t done = 0;
  for (const Settled result : results) done += result == Settled::kDone ? 1 : 0;
  std::string out = "{";
  append_member(out, "status", done == results.size() ? "success" : "partial");
  append_member(out, "done", done);
  append_member(out, "unknown", results.size() - done);
  out += "\"results\":[";
  for (std::size_t i = 0; i < results.size(); ++i) {
    out += '{';
    append_member(out, "id", receipts_or_ids[i]);
    append_member(out, "status", results[i] == Settled::kDone ? "done" : "unknown");
    close(out, '}');
    out += ',';
  }
  close(out, ']');
  out += '}';
  return out;
}

std::string write_statistics(const std::vector<TopicStatistics>& topics) {
  std::string out = "{\"topics\":[";
  for (const TopicStatistics& topic : topics) {
    out += '{';
    append_member(out, "topic", topic.topic);
    append_member(out, "messages", topic.messages);
    append_member(out, "bytes", topic.bytes);
    append_member(out, "published_total", topic.published_total);
    append_member(out, "rejected_total", topic.rejected_total);
    append_member(out, "deduplicated_total", topic.deduplicated_total);
    out += "\"groups\":[";
    for (const GroupStatistics& group : topic.groups) {
      append_group(out, group);
      out += ',';
    }
    close(out, ']');
    out += ",\"sources\":[";
    for (const SourceStatistics& source : topic.sources) {
      out += '{';
      append_member(out, "source", source.source);
      append_member(out, "members", source.members);
      append_member(out, "shards_held", source.shards_held);
      append_flag(out, "finished", source.finished);
      close(out, '}');
      out += ',';
    }
    close(out, ']');
    out += "},";
  }
  close(out, ']');
  out += '}';
  return out;
}

std::string write_assignment(const ShardAssignment& assignment) {
  std::string out = "{\"held\":[";
  for (const ShardLease& lease : assignment.held) {
    out += '{';
    append_member(out, "shard", std::uint64_t{lease.shard});
    append_member(out, "fence", lease.fence);
    append_member(out, "position", lease.position);
    append_flag(out, "finished", lease.finished);
    close(out, '}');
    out += ',';
  }
  close(out, ']');
  out += ',';
  append_member(out, "surplus", std::uint64_t{assignment.surplus});
  append_member(out, "members", std::uint64_t{assignment.members});
  append_flag(out, "finished", assignment.finished);
  close(out, '}');
  return out;
}

std::string write_dead_letters(const std::vector<DeadLetter>& letters) {
  std::string out = "{\"messages\":[";
  for (const DeadLetter& letter : letters) {
    out += '{';
    append_member(out, "message_id", letter.message_id);
    append_payload(out, *letter.payload);
    append_headers(out, letter.headers);
    append_member(out, "timestamp", format_rfc3339(letter.published));
    append_member(out, "died_at", format_rfc3339(letter.died));
    append_member(out, "delivery_count", letter.delivery_count);
    append_member(out, "reason", letter.reason);
    close(out, '}');
    out += ',';
  }
  close(out, ']');
  out += ',';
  append_member(out, "count", letters.size());
  close(out, '}');
  return out;
}

std::string write_count(std::uint64_t count) {
  return R"({"status":"success","count":)" + std::to_string(count) + "}";
}

}  // namespace gpu_telemetry::queue::json
