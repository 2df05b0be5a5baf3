// The timestamps of columns as bytes. A vector at a regular interval takes no bytes beyond its
// description. docs/formats/store.md, "Timestamp vectors", has the bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/embedded/group_codec.h"

namespace gpu_telemetry::storage::embedded {

// What the index says of a vector: timestamps are first + unit * n with ascending n, n being 0, 1,
// 2... when it is regular.
struct TimestampDescription {
  std::uint64_t count = 0;
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t unit = 1;  // ms; the largest that divides all distances
  std::uint64_t data_offset = 0;
  std::uint64_t data_size = 0;  // 0: regular
  bool regular() const { return data_size == 0; }
};

class TimestampEncoder {
 public:
  // Describes `timestamps` (not empty, strictly ascending) but for data_offset, and appends
  // data_size bytes to `out`.
  TimestampDescription encode(std::span<const std::int64_t> timestamps, std::string& out);

 private:
  std::vector<std::int64_t> steps_;
  GroupEncoder groups_{false};
};

// Decodes parts of a vector.
class TimestampDecoder {
 public:
  // Returns what is wrong with the bytes, or an empty view. They must outlive the decoder's use.
  std::string_view parse(const TimestampDescription& description, std::string_view bytes);

  // A run of indexes [begin, end), made of whole groups, outside of which no timestamp lies in
  // [start, end]. May be empty.
  struct Indexes {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  Indexes covering(std::int64_t start, std::int64_t end) const;

  // Writes the timestamps of `indexes` (begin a multiple of kGroupSize, end such a multiple or the
  // count) to `out`.
  void decode(Indexes indexes, std::int64_t* out) const;

 private:
  TimestampDescription description_;
  bool narrow_ = false;  // units and steps fit 32 bits
  std::vector<Group> groups_;
};

}  // namespace gpu_telemetry::storage::embedded
