#include "wire/texts.h"

#include <algorithm>
#include <functional>

namespace gpu_telemetry::wire {

void TextCollector::clear() {
  texts_.clear();
  std::fill(slots_.begin(), slots_.end(), 0);
}

TextId TextCollector::id_of(std::string_view text) {
  if (text.empty()) return 0;
  if (2 * (texts_.size() + 1) > slots_.size()) grow();
  std::size_t slot = std::hash<std::string_view>()(text) & (slots_.size() - 1);
  while (slots_[slot] != 0) {
    if (texts_[slots_[slot] - 1] == text) return slots_[slot];
    slot = (slot + 1) & (slots_.size() - 1);
  }
  texts_.push_back(text);
  return slots_[slot] = static_cast<TextId>(texts_.size());
}

void TextCollector::grow() {
  slots_.assign(std::max<std::size_t>(256, slots_.size() * 2), 0);
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    std::size_t slot = std::hash<std::string_view>()(texts_[i]) & (slots_.size() - 1);
    while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = static_cast<TextId>(i + 1);
  }
}

void TextCollector::append(std::string& out) const { append_texts(out, texts_); }

Result<void> read_texts(io::ByteReader& reader, std::size_t max_count, std::size_t max_size,
                        std::size_t max_total, std::vector<std::string>& texts) {
  const std::uint64_t count = reader.varint();
  // Each takes two bytes at least.
  if (!reader.ok() || count > max_count || count > reader.remaining() / 2) {
    return corrupt("more texts than there can be");
  }
  texts.resize(static_cast<std::size_t>(count));
  std::string_view before;
  std::size_t total = 0;
  for (std::string& text : texts) {
    const std::uint64_t shared = reader.varint();
    const std::string_view rest = reader.sized_bytes();
    if (!reader.ok() || shared > before.size()) {
      return corrupt("a text that shares more than the one before it has, or that is cut off");
    }
    total += static_cast<std::size_t>(shared) + rest.size();
    if (shared + rest.size() > max_size || total > max_total) {
      return corrupt("a text of " + std::to_string(shared + rest.size()) +
                     " bytes, or texts of too many bytes together");
    }
    text.assign(before.substr(0, static_cast<std::size_t>(shared)));
    text.append(rest);
    before = text;
  }
  return {};
}

}  // namespace gpu_telemetry::wire
