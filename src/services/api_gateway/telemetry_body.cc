#include "services/api_gateway/telemetry_body.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "services/api_gateway/answer.h"
#include "services/api_gateway/page_cursor.h"
#include "services/json/json.h"
#include "services/json/text_room.h"

namespace gpu_telemetry::services {
namespace {

using storage::Order;
using storage::SampleColumn;
using storage::StoredSample;

// Leaves of a block the first `most` samples in the order of the answer; `most` is less than there
// are, and not 0.
void cut(std::vector<SampleColumn>& columns, std::uint64_t most, Order order) {
  const auto comes_before = [order](std::int64_t a, std::int64_t b) {
    return order == Order::kNewestFirst ? a > b : a < b;
  };
  std::vector<std::int64_t> times;
  for (const SampleColumn& column : columns) {
    times.insert(times.end(), column.times.begin(), column.times.end());
  }
  const auto last = times.begin() + static_cast<std::ptrdiff_t>(most - 1);
  std::nth_element(times.begin(), last, times.end(), comes_before);
  // Every sample before that time, and of those at it as many as there is room for, by metric.
  std::vector<std::size_t> sizes;
  for (const SampleColumn& column : columns) {
    const auto end =
        std::lower_bound(column.times.begin(), column.times.end(), *last, comes_before);
    sizes.push_back(static_cast<std::size_t>(end - column.times.begin()));
    most -= sizes.back();
  }
  for (std::size_t i = 0; i < columns.size(); ++i) {
    SampleColumn& column = columns[i];
    const bool has_last = sizes[i] < column.times.size() && column.times[sizes[i]] == *last;
    if (has_last && most > 0) {
      ++sizes[i];
      --most;
    }
    column.times = column.times.first(sizes[i]);
    column.values = column.values.first(sizes[i]);
  }
  std::erase_if(columns, [](const SampleColumn& column) { return column.times.empty(); });
}

// The samples of a page, block by block, as rows or as columns.
class Page {
 public:
  explicit Page(TelemetrySamples samples) : samples_(std::move(samples)) {}

  // The next samples, at most `most`; empty at the page's end.
  Result<std::span<const StoredSample>> take(std::size_t most) {
    if (block_.empty()) {
      auto next = samples_.cursor->next();
      if (!next) return next.error();
      block_ = *next;
    }
    const std::uint64_t wanted = std::min<std::uint64_t>({block_.size(), most, left()});
    const auto taken = block_.first(static_cast<std::size_t>(wanted));
    block_ = block_.subspan(taken.size());
    count_ += taken.size();
    if (!taken.empty()) last_ = taken.back();
    has_more_ = !block_.empty();
    return taken;
  }

  // The next samples by metric; empty at the page's end.
  Result<std::span<const SampleColumn>> take_columns() {
    columns_.clear();
    if (has_more_) return columns_;
    const auto next = samples_.cursor->next_columns();
    if (!next) return next.error();
    std::uint64_t size = 0;
    for (const SampleColumn& column : *next) size += column.times.size();
    has_more_ = size > left();
    if (left() == 0) return columns_;
    columns_.assign(next->begin(), next->end());
    if (has_more_) cut(columns_, left(), samples_.order);
    count_ += std::min(size, left());
    note_last_of_columns();
    return columns_;
  }

  std::uint64_t count() const { return count_; }
  std::span<const std::string> metrics() const { return samples_.cursor->metric_names(); }
  std::string uuid() const { return samples_.gpu.to_string(); }
  std::string unit(std::string_view metric) const {
    return samples_.unit ? samples_.unit(metric) : std::string(unit_of(metric));
  }
  // After the end: where the next page begins, or nothing.
  std::string next_cursor() const {
    if (!has_more_) return {};
    return encode_cursor(samples_.question, {last_.timestamp, metrics()[last_.metric]});
  }

 private:
  std::uint64_t left() const { return samples_.limit == 0 ? UINT64_MAX : samples_.limit - count_; }

  void note_last_of_columns() {
    bool any = false;
    for (const SampleColumn& column : columns_) {
      const Timestamp time = from_unix_milliseconds(column.times.back());
      const bool is_earlier =
          samples_.order == Order::kNewestFirst ? time > last_.timestamp : time < last_.timestamp;
      if (any && is_earlier) continue;
      any = true;
      last_ = {time, column.metric, column.values.back()};
    }
  }

  TelemetrySamples samples_;
  std::span<const StoredSample> block_;  // what is left of the cursor's last one
  std::vector<SampleColumn> columns_;    // what was taken of it last
  std::uint64_t count_ = 0;
  bool has_more_ = false;  // than what was taken
  StoredSample last_;
};

// Text that is copied into many rows: sixteen characters at a time, whatever they are after its
// end, which costs a fraction of copying each of its characters.
class Stamp {
 public:
  // How many characters may be written behind it.
  static constexpr std::size_t kOverrun = 16;

  void assign(std::string_view text) {
    size_ = text.size();
    text_.assign(text);
    text_.resize(size_ + kOverrun);
  }
  std::size_t size() const { return size_; }

  char* put(char* at) const {
    for (std::size_t i = 0; i < size_; i += kOverrun) {
      std::memcpy(at + i, text_.data() + i, kOverrun);
    }
    return at + size_;
  }

 private:
  std::string text_;
  std::size_t size_ = 0;
};

// Text for each sample: what comes before its value, by metric, and after it, by time. Which of the
// two has the time is the shape's: `{"metric_name":"m","value":1,"timestamp":"t"}` or `t,uuid,m,1`.
struct RowForm {
  std::string begin;      // of the body
  std::string separator;  // between rows
  bool time_first = false;
  std::string time_begin;  // around a time; a few characters
  std::string time_end;
  std::vector<std::string> heads;  // by metric; right before the value
  std::string tail;                // after the value, if the time is not
};

RowForm json_form(const Page& page) {
  RowForm form;
  form.begin = "{";
  json::append_member(form.begin, "gpu_uuid", page.uuid());
  form.begin += ",\"telemetry\":[";
  form.separator = ",";
  for (const std::string& name : page.metrics()) {
    std::string& head = form.heads.emplace_back("{");
    json::append_member(head, "metric_name", name);
    head += ",\"value\":";
  }
  form.time_begin = ",\"timestamp\":\"";
  form.time_end = "\"}";
  return form;
}

RowForm csv_form(const Page& page) {
  RowForm form;
  form.begin = "timestamp,gpu_uuid,metric_name,value\r\n";
  form.time_first = true;
  for (const std::string& name : page.metrics()) {
    form.heads.push_back("," + page.uuid() + "," + name + ",");
  }
  form.tail = "\r\n";
  return form;
}

RowForm ndjson_form(const Page& page) {
  RowForm form;
  form.time_first = true;
  form.time_begin = "{\"timestamp\":\"";
  for (const std::string& name : page.metrics()) {
    std::string head = "\",";
    json::append_string(head, "gpu_uuid");
    head += ':';
    json::append_string(head, page.uuid());
    json::append_member(head, "metric_name", name);
    form.heads.push_back(head + ",\"value\":");
  }
  form.tail = "}\n";
  return form;
}

class Rows final : public TelemetryBody {
 public:
  Rows(TelemetryShape shape, TelemetrySamples samples)
      : is_json_(shape == TelemetryShape::kPoints), page_(std::move(samples)) {
    form_ = shape == TelemetryShape::kPoints ? json_form(page_)
            : shape == TelemetryShape::kCsv  ? csv_form(page_)
                                             : ndjson_form(page_);
    std::size_t longest_head = 0;
    for (const std::string& head : form_.heads) {
      Stamp& stamp = heads_.emplace_back();
      stamp.assign(form_.time_first ? head : form_.separator + head);
      longest_head = std::max(longest_head, stamp.size());
    }
    tail_.assign(form_.tail);
    longest_ = form_.time_begin.size() + kRfc3339MaxSize + form_.time_end.size() + longest_head +
               json::kNumberMaxSize + tail_.size() + Stamp::kOverrun;
  }

  Result<bool> write(std::string& out, std::size_t size) override {
    if (!begun_) out += form_.begin;
    begun_ = true;
    const std::size_t enough = out.size() + size;
    while (out.size() < enough) {
      const auto samples = page_.take((enough - out.size()) / longest_ + 1);
      if (!samples) return samples.error();
      if (samples->empty()) {
        append_end(out);
        return true;
      }
      append(out, *samples);
    }
    return false;
  }

 private:
  void format_time(Timestamp time) {
    constexpr std::size_t kRoomAround = 32;
    char text[kRfc3339MaxSize + kRoomAround];
    time_ = time;
    char* at = std::copy(form_.time_begin.begin(), form_.time_begin.end(), text);
    at = format_rfc3339_to(at, time);
    at = std::copy(form_.time_end.begin(), form_.time_end.end(), at);
    time_stamp_.assign({text, static_cast<std::size_t>(at - text)});
  }

  void append(std::string& out, std::span<const StoredSample> samples) {
    out.reserve(out.size() + samples.size() * longest_);
    TextRoom room(out, longest_);
    for (const StoredSample& sample : samples) {
      if (time_stamp_.size() == 0 || sample.timestamp != time_) format_time(sample.timestamp);
      char* at = room.next();
      if (form_.time_first) {
        at = heads_[sample.metric].put(time_stamp_.put(at));
        at = tail_.put(json::put_number(at, sample.value));
      } else {
        at = json::put_number(put_head(at, sample.metric), sample.value);
        at = time_stamp_.put(at);
      }
      room.end(at);
    }
    room.finish();
  }

  // With the separator, but in the first row.
  char* put_head(char* at, std::uint32_t metric) {
    if (any_) return heads_[metric].put(at);
    any_ = true;
    return std::copy(form_.heads[metric].begin(), form_.heads[metric].end(), at);
  }

  void append_end(std::string& out) {
    next_cursor_ = page_.next_cursor();
    if (!is_json_) return;
    out += ']';
    append_count_member(out, "count", page_.count());
    if (!next_cursor_.empty()) json::append_member(out, "next_cursor", next_cursor_);
    out += '}';
  }

  const bool is_json_;
  Page page_;
  RowForm form_;
  std::vector<Stamp> heads_;  // by metric
  Stamp tail_;
  std::size_t longest_ = 0;  // of a row, and what may be written behind it
  bool begun_ = false;
  bool any_ = false;
  Timestamp time_;  // whose text is in time_stamp_
  Stamp time_stamp_;
};

// Gathers the whole page first: a metric's times stand apart from the others'.
class Series final : public TelemetryBody {
 public:
  explicit Series(TelemetrySamples samples) : page_(std::move(samples)) {
    columns_.resize(page_.metrics().size());
  }

  Result<bool> write(std::string& out, std::size_t) override {
    while (true) {
      const auto parts = page_.take_columns();
      if (!parts) return parts.error();
      if (parts->empty()) break;
      for (const SampleColumn& part : *parts) {
        Column& column = columns_[part.metric];
        column.times.insert(column.times.end(), part.times.begin(), part.times.end());
        column.values.insert(column.values.end(), part.values.begin(), part.values.end());
      }
    }
    next_cursor_ = page_.next_cursor();
    append_document(out);
    return true;
  }

 private:
  struct Column {
    std::vector<std::int64_t> times;
    std::vector<double> values;
  };

  void append_document(std::string& out) const {
    constexpr std::size_t kMetricSize = 256;
    constexpr std::size_t kPointSize = 24;  // a time and a value, about
    out.reserve(out.size() + columns_.size() * kMetricSize + page_.count() * kPointSize);
    out += '{';
    json::append_member(out, "gpu_uuid", page_.uuid());
    json::append_key(out, "series");
    out += '[';
    SeriesMembers members;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].times.empty()) continue;
      const std::string& metric = page_.metrics()[i];
      separate(out);
      out += '{';
      json::append_member(out, "metric_name", metric);
      json::append_member(out, "unit", page_.unit(metric));
      json::append_member(out, "kind", kind_of(metric));
      members.append(out, columns_[i].times, columns_[i].values);
      out += '}';
    }
    out += ']';
    append_count_member(out, "count", page_.count());
    if (!next_cursor_.empty()) json::append_member(out, "next_cursor", next_cursor_);
    out += '}';
  }

  Page page_;
  std::vector<Column> columns_;  // by metric
};

}  // namespace

std::unique_ptr<TelemetryBody> make_telemetry_body(TelemetryShape shape, TelemetrySamples samples) {
  if (shape == TelemetryShape::kSeries) return std::make_unique<Series>(std::move(samples));
  return std::make_unique<Rows>(shape, std::move(samples));
}

}  // namespace gpu_telemetry::services
