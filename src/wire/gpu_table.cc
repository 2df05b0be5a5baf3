#include "wire/gpu_table.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "wire/batch_wire.h"

namespace gpu_telemetry::wire {
namespace {

constexpr std::string_view kDevicePrefix = "nvidia";
constexpr std::size_t kMaxDigits = 9;

// The number that `text` is, written as we would write it; -1 when it is something else.
std::int64_t plain_number(std::string_view text) {
  if (text.empty() || text.size() > kMaxDigits || (text[0] == '0' && text.size() > 1)) return -1;
  std::int64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    number = number * 10 + (c - '0');
  }
  return number;
}

std::int64_t device_number(std::string_view device) {
  return device.starts_with(kDevicePrefix) ? plain_number(device.substr(kDevicePrefix.size())) : -1;
}

// --- Encoding.

// A column of one text of each GPU. Neighbours usually agree, which spares the look-up.
template <class TextOf>
void append_text_column(std::span<const GpuPointer> gpus, GpuTableEncoder& encoder,
                        ColumnScratch& scratch, TextOf text_of) {
  encoder.column.resize(gpus.size());
  std::string_view before;
  TextId id = 0;
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    const std::string_view text = text_of(*gpus[i]);
    if (text != before) {
      id = encoder.texts.id_of(text);
      before = text;
    }
    encoder.column[i] = id;
  }
  append_integers(encoder.columns, encoder.column, scratch);
}

// Fills `out` with the number of each GPU; false when one has none.
template <class NumberOf>
bool collect_numbers(std::span<const GpuPointer> gpus, std::vector<std::int64_t>& out,
                     NumberOf number_of) {
  out.resize(gpus.size());
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    out[i] = number_of(*gpus[i]);
    if (out[i] < 0) return false;
  }
  return true;
}

void append_devices(std::span<const GpuPointer> gpus, GpuTableEncoder& encoder,
                    ColumnScratch& scratch) {
  const bool devices_are_numbers = collect_numbers(
      gpus, encoder.devices, [](const Gpu& gpu) { return device_number(gpu.device_id); });
  const bool indices_are_numbers = collect_numbers(
      gpus, encoder.column, [](const Gpu& gpu) { return plain_number(gpu.gpu_index); });
  const auto device_form = devices_are_numbers ? DeviceForm::kNvidiaNumbers : DeviceForm::kTexts;
  IndexForm index_form = indices_are_numbers ? IndexForm::kNumbers : IndexForm::kTexts;
  if (devices_are_numbers && indices_are_numbers && encoder.devices == encoder.column) {
    index_form = IndexForm::kSameAsDevice;
  }
  encoder.columns.push_back(
      static_cast<char>(static_cast<int>(device_form) | (static_cast<int>(index_form) << 4)));
  if (index_form == IndexForm::kNumbers) append_integers(encoder.columns, encoder.column, scratch);
  if (device_form == DeviceForm::kNvidiaNumbers) {
    append_integers(encoder.columns, encoder.devices, scratch);
  } else {
    append_text_column(gpus, encoder, scratch,
                       [](const Gpu& gpu) -> std::string_view { return gpu.device_id; });
  }
  if (index_form == IndexForm::kTexts) {
    append_text_column(gpus, encoder, scratch,
                       [](const Gpu& gpu) -> std::string_view { return gpu.gpu_index; });
  }
}

bool same_label_names(const Gpu& a, const Gpu& b) {
  return std::equal(a.labels.begin(), a.labels.end(), b.labels.begin(), b.labels.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first; });
}

void append_labels(std::span<const GpuPointer> gpus, GpuTableEncoder& encoder,
                   ColumnScratch& scratch) {
  encoder.schemas.clear();
  encoder.schema_of.resize(gpus.size());
  encoder.column.resize(gpus.size());
  std::size_t schema = 0;
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    if (schema == encoder.schemas.size() || !same_label_names(*encoder.schemas[schema], *gpus[i])) {
      for (schema = 0; schema < encoder.schemas.size(); ++schema) {
        if (same_label_names(*encoder.schemas[schema], *gpus[i])) break;
      }
      if (schema == encoder.schemas.size()) encoder.schemas.push_back(gpus[i].get());
    }
    encoder.schema_of[i] = static_cast<std::uint32_t>(schema);
    encoder.column[i] = static_cast<std::int64_t>(schema);
  }
  io::append_varint(encoder.columns, encoder.schemas.size());
  for (const Gpu* gpu : encoder.schemas) {
    io::append_varint(encoder.columns, gpu->labels.size());
    for (const auto& [name, value] : gpu->labels) {
      io::append_varint(encoder.columns, encoder.texts.id_of(name));
    }
  }
  append_integers(encoder.columns, encoder.column, scratch);

  for (std::size_t s = 0; s < encoder.schemas.size(); ++s) {
    for (std::size_t label = 0; label < encoder.schemas[s]->labels.size(); ++label) {
      encoder.column.clear();
      for (std::size_t i = 0; i < gpus.size(); ++i) {
        if (encoder.schema_of[i] != s) continue;
        const std::string_view value = gpus[i]->labels[label].second;
        const std::string_view host = gpus[i]->hostname;
        const bool starts_with_host = !host.empty() && value.starts_with(host);
        const TextId id = encoder.texts.id_of(starts_with_host ? value.substr(host.size()) : value);
        encoder.column.push_back(2 * std::int64_t{id} + (starts_with_host ? 1 : 0));
      }
      append_integers(encoder.columns, encoder.column, scratch);
    }
  }
}

// --- Decoding. Each returns what is wrong, or null.

using Fault = const char*;

Fault read_uuids(io::ByteReader& reader, std::size_t count, GpuTableDecoder& decoder,
                 ColumnScratch& scratch) {
  // Before anything is sized by the count.
  if (count > reader.remaining() / 16) return "fewer bytes than the GPUs' UUIDs take";
  decoder.column.resize(count);
  if (!read_integers(reader, decoder.column, scratch)) return "a malformed column of UUID kinds";
  const std::string_view raw = reader.bytes(count * 16);
  if (!reader.ok()) return "fewer bytes than the GPUs' UUIDs take";
  decoder.entries.assign(count, GpuEntry{});
  for (std::size_t i = 0; i < count; ++i) {
    if (decoder.column[i] != 0 && decoder.column[i] != 1) return "a UUID that is of no kind";
    std::array<std::uint8_t, 16> bytes;
    std::memcpy(bytes.data(), raw.data() + i * 16, 16);
    decoder.entries[i].uuid = GpuUuid(static_cast<GpuUuid::Kind>(decoder.column[i]), bytes);
  }
  return nullptr;
}

Fault read_text_column(io::ByteReader& reader, GpuTableDecoder& decoder, ColumnScratch& scratch,
                       std::string_view GpuEntry::* text) {
  if (!read_integers(reader, decoder.column, scratch)) return "a malformed column of texts";
  for (std::size_t i = 0; i < decoder.entries.size(); ++i) {
    const std::int64_t id = decoder.column[i];
    if (id < 0 || static_cast<std::uint64_t>(id) > decoder.texts.size()) {
      return "a text that does not exist";
    }
    if (id != 0) decoder.entries[i].*text = decoder.texts[static_cast<std::size_t>(id) - 1];
  }
  return nullptr;
}

Fault read_number_column(io::ByteReader& reader, GpuTableDecoder& decoder, ColumnScratch& scratch) {
  if (!read_integers(reader, decoder.column, scratch)) return "a malformed column of numbers";
  for (const std::int64_t number : decoder.column) {
    if (number < 0 || number > 999'999'999) return "a device number outside of 0 to 999999999";
  }
  return nullptr;
}

std::string_view write_number(std::int64_t number, char* begin, char* digits, char* end) {
  char* const after = std::to_chars(digits, end, number).ptr;
  return {begin, static_cast<std::size_t>(after - begin)};
}

Fault read_devices(io::ByteReader& reader, GpuTableDecoder& decoder, ColumnScratch& scratch) {
  const auto forms = reader.fixed<std::uint8_t>();
  const auto device_form = static_cast<DeviceForm>(forms & 0x0f);
  const auto index_form = static_cast<IndexForm>(forms >> 4);
  if (!reader.ok() || device_form > DeviceForm::kNvidiaNumbers ||
      index_form > IndexForm::kSameAsDevice ||
      (index_form == IndexForm::kSameAsDevice && device_form != DeviceForm::kNvidiaNumbers)) {
    return "an unknown form of device names";
  }
  decoder.device_texts.resize(decoder.entries.size());
  if (index_form == IndexForm::kNumbers) {
    if (Fault fault = read_number_column(reader, decoder, scratch)) return fault;
    for (std::size_t i = 0; i < decoder.entries.size(); ++i) {
      auto& text = decoder.device_texts[i].index;
      decoder.entries[i].gpu_index =
          write_number(decoder.column[i], text.data(), text.data(), text.data() + text.size());
    }
  }
  if (device_form == DeviceForm::kTexts) {
    if (Fault fault = read_text_column(reader, decoder, scratch, &GpuEntry::device_id)) {
      return fault;
    }
  } else {
    if (Fault fault = read_number_column(reader, decoder, scratch)) return fault;
    for (std::size_t i = 0; i < decoder.entries.size(); ++i) {
      auto& text = decoder.device_texts[i].device;
      GpuEntry& entry = decoder.entries[i];
      std::memcpy(text.data(), kDevicePrefix.data(), kDevicePrefix.size());
      entry.device_id = write_number(decoder.column[i], text.data(),
                                     text.data() + kDevicePrefix.size(), text.data() + text.size());
      if (index_form == IndexForm::kSameAsDevice) {
        entry.gpu_index = entry.device_id.substr(kDevicePrefix.size());
      }
    }
  }
  if (index_form == IndexForm::kTexts) {
    return read_text_column(reader, decoder, scratch, &GpuEntry::gpu_index);
  }
  return nullptr;
}

Fault read_schemas(io::ByteReader& reader, GpuTableDecoder& decoder, ColumnScratch& scratch) {
  const std::uint64_t count = reader.varint();
  if (!reader.ok() || count > decoder.entries.size() || count > reader.remaining()) {
    return "more lists of label names than there can be";
  }
  decoder.schemas.resize(static_cast<std::size_t>(count));
  for (std::vector<TextId>& names : decoder.schemas) {
    const std::uint64_t size = reader.varint();
    if (!reader.ok() || size > reader.remaining()) return "more label names than there can be";
    names.resize(static_cast<std::size_t>(size));
    std::string_view before;
    for (TextId& name : names) {
      const std::uint64_t id = reader.varint();
      if (!reader.ok() || id == 0 || id > decoder.texts.size()) {
        return "a label name that does not exist";
      }
      name = static_cast<TextId>(id);
      if (decoder.texts[name - 1] <= before) return "label names that are not in ascending order";
      before = decoder.texts[name - 1];
    }
  }
  if (!read_integers(reader, decoder.column, scratch)) return "a malformed column of label names";
  return nullptr;
}

Fault read_labels(io::ByteReader& reader, GpuTableDecoder& decoder, ColumnScratch& scratch) {
  if (Fault fault = read_schemas(reader, decoder, scratch)) return fault;
  const std::size_t count = decoder.entries.size();
  decoder.schema_of.resize(count);
  decoder.first_label.resize(count);
  std::size_t labels = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t schema = decoder.column[i];
    if (schema < 0 || static_cast<std::uint64_t>(schema) >= decoder.schemas.size()) {
      return "a list of label names that does not exist";
    }
    decoder.schema_of[i] = static_cast<std::uint32_t>(schema);
    decoder.first_label[i] = labels;
    labels += decoder.schemas[static_cast<std::size_t>(schema)].size();
    if (labels > kMaxLabels) return "more labels than a message may have";
  }
  decoder.labels.resize(labels);
  for (std::size_t i = 0; i < count; ++i) {
    decoder.entries[i].labels =
        std::span(decoder.labels)
            .subspan(decoder.first_label[i], decoder.schemas[decoder.schema_of[i]].size());
  }
  for (std::size_t s = 0; s < decoder.schemas.size(); ++s) {
    const auto members =
        static_cast<std::size_t>(std::count(decoder.schema_of.begin(), decoder.schema_of.end(), s));
    for (std::size_t label = 0; label < decoder.schemas[s].size(); ++label) {
      decoder.column.resize(members);
      if (!read_integers(reader, decoder.column, scratch)) return "a malformed column of labels";
      std::size_t member = 0;
      for (std::size_t i = 0; i < count; ++i) {
        if (decoder.schema_of[i] != s) continue;
        const std::int64_t coded = decoder.column[member++];
        if (coded < 0 || static_cast<std::uint64_t>(coded) / 2 > decoder.texts.size()) {
          return "a label value that does not exist";
        }
        GpuEntry::Label& to = decoder.labels[decoder.first_label[i] + label];
        to.name = decoder.texts[decoder.schemas[s][label] - 1];
        to.value_start = coded % 2 != 0 ? decoder.entries[i].hostname : std::string_view();
        to.value_end =
            coded < 2 ? std::string_view() : decoder.texts[static_cast<std::size_t>(coded) / 2 - 1];
      }
    }
  }
  return nullptr;
}

Fault read_entries(io::ByteReader& reader, std::size_t count, GpuTableDecoder& decoder,
                   ColumnScratch& scratch) {
  if (Fault fault = read_uuids(reader, count, decoder, scratch)) return fault;
  for (const auto text : {&GpuEntry::hostname, &GpuEntry::model_name}) {
    if (Fault fault = read_text_column(reader, decoder, scratch, text)) return fault;
  }
  if (Fault fault = read_devices(reader, decoder, scratch)) return fault;
  for (const auto text : {&GpuEntry::container, &GpuEntry::pod, &GpuEntry::pod_namespace}) {
    if (Fault fault = read_text_column(reader, decoder, scratch, text)) return fault;
  }
  return read_labels(reader, decoder, scratch);
}

}  // namespace

void append_gpus(std::string& out, std::span<const GpuPointer> gpus, GpuTableEncoder& encoder,
                 ColumnScratch& scratch) {
  encoder.texts.clear();
  encoder.columns.clear();
  encoder.column.resize(gpus.size());
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    encoder.column[i] = static_cast<std::int64_t>(gpus[i]->uuid.kind());
  }
  append_integers(encoder.columns, encoder.column, scratch);
  for (const GpuPointer& gpu : gpus) {
    const auto& bytes = gpu->uuid.bytes();
    encoder.columns.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  const auto append_texts_of = [&](auto text_of) {
    append_text_column(gpus, encoder, scratch, text_of);
  };
  append_texts_of([](const Gpu& gpu) -> std::string_view { return gpu.hostname; });
  append_texts_of([](const Gpu& gpu) -> std::string_view { return gpu.model_name; });
  append_devices(gpus, encoder, scratch);
  append_texts_of([](const Gpu& gpu) -> std::string_view { return gpu.attribution.container; });
  append_texts_of([](const Gpu& gpu) -> std::string_view { return gpu.attribution.pod; });
  append_texts_of([](const Gpu& gpu) -> std::string_view { return gpu.attribution.pod_namespace; });
  append_labels(gpus, encoder, scratch);

  encoder.texts.append(out);
  out += encoder.columns;
}

Result<void> read_gpus(io::ByteReader& reader, std::size_t count, GpuTableDecoder& decoder,
                       ColumnScratch& scratch, GpuCache& cache, std::vector<GpuPointer>& out) {
  if (auto texts =
          read_texts(reader, reader.remaining(), kMaxTextSize, kMaxTextBytes, decoder.texts);
      !texts) {
    return texts;
  }
  if (const Fault fault = read_entries(reader, count, decoder, scratch)) return corrupt(fault);
  std::size_t text_size = 0;
  for (const GpuEntry& entry : decoder.entries) {
    text_size += entry.text_size();
    if (text_size > kMaxTextBytes) return corrupt("GPUs with more text than a message may have");
  }
  out.resize(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = cache.intern(decoder.entries[i]);
  return {};
}

}  // namespace gpu_telemetry::wire
