#include "storage/embedded/series_file_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/crc32c.h"
#include "storage/embedded/block_parity.h"

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::size_t kFooterSumSize = kFooterSize - 8 - kChecksumSize;

// The low bits of a column's first number in the index.
constexpr std::uint64_t kDataTag = 0;      // bit 0 clear; the rest is the size
constexpr std::uint64_t kIntegerTag = 1;   // two bits; the rest is the zigzag of an integer
constexpr std::uint64_t kExtendedTag = 3;  // two bits; the rest is an exponent or kRawDouble
constexpr std::uint64_t kRawDouble = 15;

Error unread(std::uint32_t version) {
  return invalid(fmt::format("version {} of the series file; this program reads versions 1 to {}",
                             version, kSeriesFileVersion));
}

Result<void> check_header(std::string_view bytes) {
  if (!bytes.starts_with(kSeriesFileMagic)) {
    return corrupt("header: not a series file (it begins with other bytes)");
  }
  const auto checksum = io::load_fixed<std::uint32_t>(bytes.data() + kHeaderSize - kChecksumSize);
  if (checksum != io::crc32c(bytes.substr(0, kHeaderSize - kChecksumSize))) {
    return corrupt("header: its checksum differs");
  }
  const auto version = io::load_fixed<std::uint32_t>(bytes.data() + kSeriesFileMagic.size());
  if (version == 0 || version > kSeriesFileVersion) return unread(version);
  return {};
}

std::string encode_footer(const Footer& footer) {
  std::string out;
  io::append_fixed(out, footer.index_offset);
  io::append_fixed(out, footer.index_size);
  io::append_fixed(out, footer.samples);
  io::append_fixed(out, footer.series);
  io::append_fixed(out, footer.gpus);
  io::append_fixed(out, footer.first);
  io::append_fixed(out, footer.last);
  io::append_fixed(out, footer.stored_at);
  io::append_fixed(out, footer.index_checksum);
  io::append_fixed(out, footer.version == 1 ? 0 : footer.version);
  io::append_fixed(out, std::uint32_t{0});
  io::append_fixed(out, io::crc32c(out));
  out += kSeriesFileMagic;
  return out;
}

// How much follows the index.
std::uint64_t size_after_index(const Footer& footer) {
  if (footer.version == 1) return kFooterSize;
  return parity_size(footer.index_size) + 2 * kFooterSize;
}

// The last footer, or the one before it.
Result<Footer> parse_footer(std::string_view file, std::size_t before) {
  if (file.size() < kHeaderSize + (before + 1) * kFooterSize) return corrupt("footer: missing");
  const std::string_view bytes = file.substr(file.size() - (before + 1) * kFooterSize, kFooterSize);
  if (!bytes.ends_with(kSeriesFileMagic)) {
    return corrupt("footer: missing; the file was cut off or never finished");
  }
  io::ByteReader reader(bytes);
  Footer footer;
  footer.index_offset = reader.fixed<std::uint64_t>();
  footer.index_size = reader.fixed<std::uint64_t>();
  footer.samples = reader.fixed<std::uint64_t>();
  footer.series = reader.fixed<std::uint64_t>();
  footer.gpus = reader.fixed<std::uint64_t>();
  footer.first = reader.fixed<std::int64_t>();
  footer.last = reader.fixed<std::int64_t>();
  footer.stored_at = reader.fixed<std::int64_t>();
  footer.index_checksum = reader.fixed<std::uint32_t>();
  footer.version = std::max(reader.fixed<std::uint32_t>(), 1U);
  reader.fixed<std::uint32_t>();
  if (reader.fixed<std::uint32_t>() != io::crc32c(bytes.substr(0, kFooterSumSize))) {
    return corrupt("footer: its checksum differs");
  }
  if (footer.version > kSeriesFileVersion) return unread(footer.version);
  if (footer.index_offset < kHeaderSize || footer.index_offset > file.size() ||
      footer.index_size > file.size() - footer.index_offset ||
      size_after_index(footer) != file.size() - footer.index_offset - footer.index_size) {
    return corrupt("footer: the index is not where it says");
  }
  if (footer.first > footer.last || footer.first < -kMaxTimestamp || footer.last > kMaxTimestamp) {
    return corrupt("footer: its times are out of range");
  }
  return footer;
}

}  // namespace

std::string encode_header(std::uint32_t version) {
  std::string header(kSeriesFileMagic);
  io::append_fixed(header, version);
  io::append_fixed(header, io::crc32c(header));
  return header;
}

std::string_view Footer::parity(std::string_view file) const {
  if (version == 1) return {};
  return file.substr(index_offset + index_size, parity_size(index_size));
}

std::string encode_end(std::string_view index, const Footer& footer) {
  const std::string encoded = encode_footer(footer);
  return footer.version == 1 ? encoded : encode_parity(index) + encoded + encoded;
}

Result<Footer> read_footer(std::string_view file, std::vector<std::string>& damage) {
  if (file.size() < kHeaderSize + kFooterSize) {
    return corrupt(fmt::format("header: the file has {} bytes, and a series file at least {}",
                               file.size(), kHeaderSize + kFooterSize));
  }
  const auto header = check_header(file);
  if (!header && header.error().code == ErrorCode::kInvalid) return header.error();
  auto footer = parse_footer(file, 0);
  if (!footer && footer.error().code == ErrorCode::kInvalid) return footer.error();
  if (!footer || footer->version != 1) {
    const auto other = parse_footer(file, 1);
    if (!footer && !other) return header ? footer.error() : header.error();
    if (!other) damage.push_back("the footer before the last is damaged; the last is whole");
    if (!footer) damage.push_back("the last footer is damaged; the one before it is whole");
    if (!footer) footer = other;
  }
  if (!header) damage.push_back("the header is damaged; the footer says what it said");
  return footer;
}

void append_constant_place(double value, std::string& out) {
  const ConstantValue constant = make_constant(value);
  if (!constant.scaled) {
    io::append_varint(out, kRawDouble << 2 | kExtendedTag);
    io::append_fixed(out, value);
    return;
  }
  const std::uint64_t integer = io::zigzag(constant.integer);
  if (constant.exponent == 0 && integer >> 62 == 0) {
    io::append_varint(out, integer << 2 | kIntegerTag);
    return;
  }
  io::append_varint(out, std::uint64_t{constant.exponent} << 2 | kExtendedTag);
  io::append_varint(out, integer);
}

void append_data_place(std::uint64_t data_size, std::string& out) {
  io::append_varint(out, data_size << 1 | kDataTag);
}

ColumnPlace parse_place(io::ByteReader& reader) {
  ColumnPlace place;
  const std::uint64_t tag = reader.varint();
  if ((tag & 1) == kDataTag) {
    place.data_size = tag >> 1;
    return place;
  }
  place.constant = true;
  if ((tag & 3) == kIntegerTag) {
    place.value = static_cast<double>(io::unzigzag(tag >> 2));
    return place;
  }
  const std::uint64_t exponent = tag >> 2;
  if (exponent == kRawDouble) {
    place.value = reader.fixed<double>();
    if (!std::isfinite(place.value)) reader.fail();
    return place;
  }
  if (exponent > kMaxExponent) {
    reader.fail();
    return place;
  }
  place.value = static_cast<double>(reader.signed_varint());
  if (exponent != 0) place.value /= power_of_ten(static_cast<unsigned>(exponent));
  return place;
}

void append_description(const TimestampDescription& description, std::int64_t file_first,
                        std::string& out) {
  io::append_varint(out, description.count);
  io::append_varint(out, static_cast<std::uint64_t>(description.first - file_first));
  io::append_varint(out, static_cast<std::uint64_t>(description.unit));
  io::append_varint(out, description.data_size);
  if (description.regular()) return;
  io::append_varint(out, description.data_offset);
  io::append_varint(
      out, static_cast<std::uint64_t>((description.last - description.first) / description.unit));
}

TimestampDescription parse_description(io::ByteReader& reader, std::int64_t file_first) {
  TimestampDescription description;
  description.count = reader.varint();
  const std::uint64_t first = reader.varint();
  const std::uint64_t unit = reader.varint();
  description.data_size = reader.varint();
  std::uint64_t steps = description.count - 1;
  if (!description.regular()) {
    description.data_offset = reader.varint();
    steps = reader.varint();
  }
  // Bounds first: then nothing below can overflow.
  constexpr auto kSpan = static_cast<std::uint64_t>(2 * kMaxTimestamp);
  if (description.count == 0 || description.count > kMaxSamplesPerColumn || first > kSpan ||
      unit == 0 || unit > kSpan || steps > kSpan / unit) {
    reader.fail();
    return {};
  }
  description.first = file_first + static_cast<std::int64_t>(first);
  description.unit = static_cast<std::int64_t>(unit);
  description.last = description.first + static_cast<std::int64_t>(unit * steps);
  return description;
}

}  // namespace gpu_telemetry::storage::embedded
