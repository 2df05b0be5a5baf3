// Little-endian integers, variable-length integers (LEB128) and zigzag, as all our formats use
// them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace gpu_telemetry::io {

static_assert(std::endian::native == std::endian::little,
              "formats are little-endian and are read in place");

template <class T>
void append_fixed(std::string& out, T value) {
  char raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  out.append(raw, sizeof(T));
}

template <class T>
T load_fixed(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

inline void append_varint(std::string& out, std::uint64_t value) {
  char raw[10];
  std::size_t size = 0;
  while (value >= 0x80) {
    raw[size++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  raw[size++] = static_cast<char>(value);
  out.append(raw, size);
}

constexpr std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

// Reads from a span of bytes that may be damaged: every read is bounds-checked, and the first that
// fails makes the reader fail for good (`ok()` is false, reads return zero or empty). Check once,
// at the end of a structure, and before a read value is used as a size of anything allocated.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes)
      : begin_(bytes.data()), at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  std::size_t offset() const { return static_cast<std::size_t>(at_ - begin_); }
  std::size_t remaining() const { return static_cast<std::size_t>(end_ - at_); }
  void fail() {
    ok_ = false;
    at_ = end_;
  }

  template <class T>
  T fixed() {
    if (remaining() < sizeof(T)) {
      fail();
      return T{};
    }
    const T value = load_fixed<T>(at_);
    at_ += sizeof(T);
    return value;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && at_ != end_; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(*at_++);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }

  std::int64_t signed_varint() { return unzigzag(varint()); }

  std::string_view bytes(std::uint64_t size) {
    if (remaining() < size) {
      fail();
      return {};
    }
    const std::string_view view(at_, static_cast<std::size_t>(size));
    at_ += size;
    return view;
  }

  // A varint length, then that many bytes.
  std::string_view sized_bytes() { return bytes(varint()); }

 private:
  const char* begin_;
  const char* at_;
  const char* end_;
  bool ok_ = true;
};

}  // namespace gpu_telemetry::io
