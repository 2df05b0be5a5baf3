// The texts of a message, each once: host names, models, pods, labels (docs/formats/wire.md,
// "Texts").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"
#include "io/bytes.h"

namespace gpu_telemetry::wire {

// Text 0 is the empty one and is not stored.
using TextId = std::uint32_t;

// Gives texts their numbers, in the order in which they are first seen. Keeps views: what they see
// must live until `append`.
class TextCollector {
 public:
  void clear();
  TextId id_of(std::string_view text);
  void append(std::string& out) const;

 private:
  void grow();

  std::vector<std::string_view> texts_;  // without text 0
  std::vector<TextId> slots_;            // 0: free
};

// Appends texts, each as what it shares with the front of the one before it and the rest.
template <class Texts>
void append_texts(std::string& out, const Texts& texts) {
  io::append_varint(out, texts.size());
  std::string_view before;
  for (const std::string_view text : texts) {
    std::size_t shared = 0;
    while (shared < text.size() && shared < before.size() && text[shared] == before[shared]) {
      ++shared;
    }
    io::append_varint(out, shared);
    io::append_varint(out, text.size() - shared);
    out.append(text.substr(shared));
    before = text;
  }
}

// Reads what append_texts wrote, reusing `texts`. Errors: kCorrupt without a place; more than
// `max_count` texts, one longer than `max_size` or more than `max_total` bytes are errors too.
Result<void> read_texts(io::ByteReader& reader, std::size_t max_count, std::size_t max_size,
                        std::size_t max_total, std::vector<std::string>& texts);

}  // namespace gpu_telemetry::wire
