#include "services/openapi/yaml.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <charconv>

namespace gpu_telemetry::services {
namespace {

namespace json = boost::json;

void indent(std::string& out, int level) { out.append(static_cast<std::size_t>(level) * 2, ' '); }

// Letters first, so that no number; and none of the words that YAML 1.1 takes for booleans or null.
bool is_plain_key(std::string_view key) {
  static constexpr std::string_view kWords[] = {"y",  "Y",   "n",    "N",     "yes", "no",
                                                "on", "off", "true", "false", "null"};
  if (key.empty() || std::find(std::begin(kWords), std::end(kWords), key) != std::end(kWords)) {
    return false;
  }
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return is_letter(key.front()) && std::all_of(key.begin(), key.end(), [&](char c) {
           return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

void append_key(std::string& out, std::string_view key) {
  if (is_plain_key(key)) {
    out += key;
  } else {
    out += json::serialize(json::string(key));
  }
  out += ':';
}

// Numbers in their shortest form: Boost.JSON writes 4.2 as 4.2E0.
std::string scalar(const json::value& value) {
  if (!value.is_double()) return json::serialize(value);
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value.get_double()).ptr};
}

bool is_block(const json::value& value) {
  return (value.is_object() && !value.get_object().empty()) ||
         (value.is_array() && !value.get_array().empty());
}

void append_value(std::string& out, const json::value& value, int level);

void append_object(std::string& out, const json::object& object, int level, bool first_inline) {
  for (const auto& member : object) {
    if (!first_inline) indent(out, level);
    first_inline = false;
    append_key(out, member.key());
    if (is_block(member.value())) {
      out += '\n';
      append_value(out, member.value(), level + 1);
    } else {
      out += ' ' + scalar(member.value()) + '\n';
    }
  }
}

void append_value(std::string& out, const json::value& value, int level) {
  if (value.is_object() && !value.get_object().empty()) {
    append_object(out, value.get_object(), level, false);
    return;
  }
  if (!is_block(value)) {
    indent(out, level);
    out += scalar(value) + '\n';
    return;
  }
  for (const json::value& element : value.get_array()) {
    indent(out, level);
    out += "- ";
    if (element.is_object() && !element.get_object().empty()) {
      append_object(out, element.get_object(), level + 1, true);
    } else if (is_block(element)) {
      out.pop_back();
      out += '\n';
      append_value(out, element, level + 1);
    } else {
      out += scalar(element) + '\n';
    }
  }
}

void append_pretty(std::string& out, const json::value& value, int level) {
  if (!is_block(value)) {
    out += scalar(value);
    return;
  }
  const bool is_object = value.is_object();
  out += is_object ? "{\n" : "[\n";
  bool first = true;
  const auto next = [&] {
    if (!first) out += ",\n";
    first = false;
    indent(out, level + 1);
  };
  if (is_object) {
    for (const auto& member : value.get_object()) {
      next();
      out += json::serialize(json::string(member.key())) + ": ";
      append_pretty(out, member.value(), level + 1);
    }
  } else {
    for (const json::value& element : value.get_array()) {
      next();
      append_pretty(out, element, level + 1);
    }
  }
  out += '\n';
  indent(out, level);
  out += is_object ? '}' : ']';
}

}  // namespace

std::string to_yaml(const json::value& value) {
  std::string out;
  append_value(out, value, 0);
  return out;
}

std::string to_pretty_json(const json::value& value) {
  std::string out;
  append_pretty(out, value, 0);
  return out + '\n';
}

}  // namespace gpu_telemetry::services
