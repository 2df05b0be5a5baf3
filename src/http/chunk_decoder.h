// The chunked transfer coding (RFC 9112 section 7.1), read strictly and piecemeal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gpu_telemetry::http {

// Extensions are skipped and trailers dropped, both within bounds: 256 bytes for a chunk's line, 8
// KiB for all trailers. What only looks like one is malformed: text behind a size without a ';', a
// trailer without a name and a colon. Another reader could take it for something else.
class ChunkDecoder {
 public:
  enum class State { kNeedMore, kComplete, kMalformed, kTooLarge };

  // A body of more than `max_body` bytes is kTooLarge, as soon as a chunk's size says so.
  explicit ChunkDecoder(std::uint64_t max_body) : room_(max_body) {}

  // Takes bytes from the front of `input` and appends what they carry to `body`. Sets `consumed` to
  // how many were taken: all of them while more are needed.
  State decode(std::string_view input, std::string& body, std::size_t& consumed);

 private:
  enum class Step {
    kSize,
    kSizeSpace,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailer,
    kTrailerLf,
    kLastLf,
    kDone,
  };

  State take(char c);
  State take_size(char c);
  State take_extension(char c);
  State take_trailer(char c);

  Step step_ = Step::kSize;
  std::uint64_t room_;       // bytes that the body may still have
  std::uint64_t size_ = 0;   // of the chunk; then what is left of it
  std::size_t line_ = 0;     // bytes of the chunk's line so far
  std::size_t digits_ = 0;   // of its size
  std::size_t trailer_ = 0;  // bytes of all trailers so far
};

}  // namespace gpu_telemetry::http
