#include "http/chunk_decoder.h"

#include <algorithm>

#include "http/encoding.h"

namespace gpu_telemetry::http {
namespace {

constexpr std::size_t kMaxLine = 256;
constexpr std::size_t kMaxTrailers = 8 << 10;
constexpr std::size_t kMaxDigits = 15;  // so that the size cannot overflow

bool is_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}

}  // namespace

ChunkDecoder::State ChunkDecoder::decode(std::string_view input, std::string& body,
                                         std::size_t& consumed) {
  consumed = 0;
  while (consumed < input.size()) {
    if (step_ == Step::kData) {
      const std::size_t part =
          static_cast<std::size_t>(std::min<std::uint64_t>(size_, input.size() - consumed));
      body.append(input.substr(consumed, part));
      consumed += part;
      size_ -= part;
      if (size_ == 0) step_ = Step::kDataCr;
      continue;
    }
    const State state = take(input[consumed]);
    ++consumed;
    if (state != State::kNeedMore) return state;
  }
  return State::kNeedMore;
}

ChunkDecoder::State ChunkDecoder::take_size(char c) {
  if (++line_ > kMaxLine) return State::kMalformed;
  int digit = -1;
  if (c >= '0' && c <= '9') digit = c - '0';
  if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
  if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
  if (digit >= 0) {
    if (++digits_ > kMaxDigits) return State::kTooLarge;
    size_ = size_ * 16 + static_cast<std::uint64_t>(digit);
    return State::kNeedMore;
  }
  if (digits_ == 0) return State::kMalformed;
  if (c == '\r') {
    step_ = Step::kSizeLf;
  } else if (c == ';') {
    step_ = Step::kExtension;
  } else if (c == ' ' || c == '\t') {
    step_ = Step::kSizeSpace;
  } else {
    return State::kMalformed;
  }
  return size_ > room_ ? State::kTooLarge : State::kNeedMore;
}

// What follows a chunk's size on its line.
ChunkDecoder::State ChunkDecoder::take_extension(char c) {
  if (++line_ > kMaxLine) return State::kMalformed;
  if (c == '\r') {
    step_ = Step::kSizeLf;
    return State::kNeedMore;
  }
  const bool begun = step_ == Step::kExtension;
  if (!begun && c == ';') step_ = Step::kExtension;
  const bool fits = begun ? is_text(c) : c == ';' || c == ' ' || c == '\t';
  return fits ? State::kNeedMore : State::kMalformed;
}

ChunkDecoder::State ChunkDecoder::take_trailer(char c) {
  if (++trailer_ > kMaxTrailers) return State::kMalformed;
  const bool named = step_ == Step::kTrailer;
  if (c == '\r' && step_ != Step::kTrailerName) {
    step_ = named ? Step::kTrailerLf : Step::kLastLf;
    return State::kNeedMore;
  }
  if (named) return is_text(c) ? State::kNeedMore : State::kMalformed;
  const bool ends_name = c == ':' && step_ == Step::kTrailerName;
  if (!ends_name && !is_token_char(c)) return State::kMalformed;
  step_ = ends_name ? Step::kTrailer : Step::kTrailerName;
  return State::kNeedMore;
}

ChunkDecoder::State ChunkDecoder::take(char c) {
  switch (step_) {
    case Step::kSize:
      return take_size(c);
    case Step::kSizeSpace:
    case Step::kExtension:
      return take_extension(c);
    case Step::kSizeLf:
      room_ -= size_;
      step_ = size_ == 0 ? Step::kTrailerStart : Step::kData;
      line_ = digits_ = 0;
      return c == '\n' ? State::kNeedMore : State::kMalformed;
    case Step::kDataCr:
      step_ = Step::kDataLf;
      return c == '\r' ? State::kNeedMore : State::kMalformed;
    case Step::kDataLf:
      step_ = Step::kSize;
      size_ = 0;
      return c == '\n' ? State::kNeedMore : State::kMalformed;
    case Step::kTrailerStart:
    case Step::kTrailerName:
    case Step::kTrailer:
      return take_trailer(c);
    case Step::kTrailerLf:
      step_ = Step::kTrailerStart;
      return c == '\n' ? State::kNeedMore : State::kMalformed;
    case Step::kLastLf:
      step_ = Step::kDone;
      return c == '\n' ? State::kComplete : State::kMalformed;
    case Step::kData:
    case Step::kDone:
      break;
  }
  return State::kMalformed;
}

}  // namespace gpu_telemetry::http
