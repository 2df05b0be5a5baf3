// What is done to an answer on its way out: gzip (RFC 1952) and entity tags (RFC 9110 section
// 8.8.3).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "http/message.h"

namespace gpu_telemetry::services {

// A body from its beginning to its end, or in pieces that can each be read when they have arrived.
class GzipEncoder {
 public:
  GzipEncoder();
  ~GzipEncoder();
  GzipEncoder(const GzipEncoder&) = delete;
  GzipEncoder& operator=(const GzipEncoder&) = delete;

  // The compressed form of the next piece; of the last one with the trailer.
  std::string encode(std::string_view piece, bool last);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Whether bodies of this Content-Type shrink.
bool is_compressible(std::string_view content_type);

// Compresses a whole body, long ones on `pool`. Sets Content-Encoding.
boost::asio::awaitable<void> compress(http::Response& response, boost::asio::thread_pool& pool);

// Makes the response's stream compress what it writes, on `pool`, which outlives the response.
void compress_stream(http::Response& response, boost::asio::thread_pool& pool);

// A strong tag, quotes included, that two different bodies do not share.
std::string entity_tag(std::string_view body);

// Whether an If-None-Match names the tag (`*` names all); weak tags and those of the gzip form
// count, since the client has the same content.
bool names_tag(std::string_view if_none_match, std::string_view tag);

// The tag of the gzip form of a body with that tag.
std::string gzip_tag(std::string_view tag);

}  // namespace gpu_telemetry::services
