#include "sources/csv/csv_labels.h"

namespace gpu_telemetry::sources::csv {
namespace {

void skip_spaces(std::string_view& text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
}

// Reads up to the closing quote, which it takes too.
bool decode_value(std::string_view& text, std::string& value) {
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c == '"') return true;
    if (c != '\\') {
      value += c;
      continue;
    }
    if (text.empty()) return false;
    const char escaped = text.front();
    text.remove_prefix(1);
    value += escaped == 'n' ? '\n' : escaped;
  }
  return false;
}

}  // namespace

bool decode_labels(std::string_view text, LabelList& labels) {
  skip_spaces(text);
  if (text.starts_with('{')) {
    if (!text.ends_with('}')) return false;
    text = text.substr(1, text.size() - 2);
    skip_spaces(text);
  }
  while (!text.empty()) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0 || labels.size() == kMaxLabels)
      return false;
    std::string name(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    std::string value;
    if (!text.starts_with('"')) return false;
    text.remove_prefix(1);
    if (!decode_value(text, value)) return false;
    labels.emplace_back(std::move(name), std::move(value));
    skip_spaces(text);
    if (text.empty()) break;
    if (text.front() != ',') return false;
    text.remove_prefix(1);
    skip_spaces(text);
  }
  return true;
}

}  // namespace gpu_telemetry::sources::csv
