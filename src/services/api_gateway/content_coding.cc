#include "services/api_gateway/content_coding.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "concurrency/async_offload.h"
#include "http/encoding.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

// Answers are made anew for each request, so speed counts more than the last per cent.
constexpr int kLevel = 1;
constexpr int kGzipWindow = 15 + 16;  // the largest window, with gzip's header and trailer
constexpr int kMemory = 8;

// Compressing this much takes about half a millisecond, which the loop can spare.
constexpr std::size_t kAtOnce = 64 * 1024;

constexpr std::string_view kGzipSuffix = "-gzip";

class GzipWriter final : public http::BodyWriter {
 public:
  GzipWriter(http::BodyWriter& to, boost::asio::thread_pool& pool) : to_(to), pool_(pool) {}

  awaitable<Result<void>> write(std::string_view chunk) override {
    auto encode = [this, chunk] { return Result<std::string>(encoder_.encode(chunk, false)); };
    const auto piece = co_await concurrency::async_offload(pool_, encode);
    if (piece->empty()) co_return Result<void>();
    co_return co_await to_.write(*piece);
  }
  bool stopping() const override { return to_.stopping(); }

  awaitable<Result<void>> finish() {
    const std::string end = encoder_.encode({}, true);
    co_return co_await to_.write(end);
  }

 private:
  http::BodyWriter& to_;
  boost::asio::thread_pool& pool_;
  GzipEncoder encoder_;
};

using Stream = std::function<awaitable<Result<void>>(http::BodyWriter&)>;

awaitable<Result<void>> write_compressed(Stream& stream, http::BodyWriter& body,
                                         boost::asio::thread_pool& pool) {
  GzipWriter writer(body, pool);
  auto written = co_await stream(writer);
  if (!written) co_return written;
  co_return co_await writer.finish();
}

// Two 64-bit lanes, each folded by the 128-bit product of what it takes in and a constant.
constexpr std::uint64_t kMixA = 0x9E3779B97F4A7C15ULL;
constexpr std::uint64_t kMixB = 0xD6E8FEB86659FD93ULL;

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word_at(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

void append_hex(std::string& out, std::uint64_t number) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[(number >> shift) & 0xF];
}

}  // namespace

struct GzipEncoder::State {
  z_stream stream{};
};

GzipEncoder::GzipEncoder() : state_(std::make_unique<State>()) {
  if (deflateInit2(&state_->stream, kLevel, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    throw std::bad_alloc();
  }
}

GzipEncoder::~GzipEncoder() { deflateEnd(&state_->stream); }

std::string GzipEncoder::encode(std::string_view piece, bool last) {
  z_stream& stream = state_->stream;
  std::string out;
  // zlib takes it as writable and does not write.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
  stream.avail_in =
      static_cast<uInt>(std::min<std::size_t>(piece.size(), std::numeric_limits<uInt>::max()));
  const int flush = last ? Z_FINISH : Z_SYNC_FLUSH;
  std::size_t size = 0;
  do {
    out.resize(size + std::max<std::size_t>(4096, piece.size() / 4));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + size);
    stream.avail_out = static_cast<uInt>(out.size() - size);
    deflate(&stream, flush);
    size = out.size() - stream.avail_out;
  } while (stream.avail_out == 0);
  out.resize(size);
  return out;
}

bool is_compressible(std::string_view content_type) {
  const std::string_view type = http::trim(content_type.substr(0, content_type.find(';')));
  return type == "application/json" || type == "application/problem+json" ||
         type == "application/x-ndjson" || type == "application/yaml" || type == "text/csv" ||
         type == "text/plain" || type == "text/html" || type == "text/css" ||
         type == "text/javascript" || type == "image/svg+xml";
}

awaitable<void> compress(http::Response& response, boost::asio::thread_pool& pool) {
  auto encode = [&response] {
    return Result<std::string>(GzipEncoder().encode(response.body, true));
  };
  if (response.body.size() <= kAtOnce) {
    response.body = *encode();
  } else {
    auto encoded = co_await concurrency::async_offload(pool, encode);
    response.body = std::move(*encoded);
  }
  response.headers.set("Content-Encoding", "gzip");
}

void compress_stream(http::Response& response, boost::asio::thread_pool& pool) {
  response.headers.set("Content-Encoding", "gzip");
  auto compressed = [stream = std::move(response.stream), &pool](http::BodyWriter& body) mutable {
    return write_compressed(stream, body, pool);
  };
  response.stream = std::move(compressed);
}

std::string entity_tag(std::string_view body) {
  std::uint64_t a = kMixA ^ body.size();
  std::uint64_t b = kMixB;
  std::string_view left = body;
  while (left.size() >= 32) {
    a = fold(a ^ word_at(left.data()), kMixB ^ word_at(left.data() + 8));
    b = fold(b ^ word_at(left.data() + 16), kMixA ^ word_at(left.data() + 24));
    left.remove_prefix(32);
  }
  char rest[32] = {};
  std::copy(left.begin(), left.end(), rest);
  a = fold(a ^ word_at(rest), kMixB ^ word_at(rest + 8));
  b = fold(b ^ word_at(rest + 16), kMixA ^ word_at(rest + 24));
  std::string tag = "\"";
  append_hex(tag, fold(a, kMixA ^ b));
  append_hex(tag, fold(b, kMixB ^ a));
  tag += '"';
  return tag;
}

std::string gzip_tag(std::string_view tag) {
  std::string own(tag.substr(0, tag.size() - 1));
  own += kGzipSuffix;
  return own + '"';
}

bool names_tag(std::string_view if_none_match, std::string_view tag) {
  const std::string compressed = gzip_tag(tag);
  while (!if_none_match.empty()) {
    std::string_view each = if_none_match.substr(0, if_none_match.find(','));
    if_none_match.remove_prefix(std::min(each.size() + 1, if_none_match.size()));
    each = http::trim(each);
    if (each.starts_with("W/")) each.remove_prefix(2);
    if (each == "*" || each == tag || each == compressed) return true;
  }
  return false;
}

}  // namespace gpu_telemetry::services
