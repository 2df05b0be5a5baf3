#include "http/router.h"

#include <algorithm>
#include <set>

namespace gpu_telemetry::http {
namespace {

bool is_name(std::string_view text) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (text.empty() || !is_letter(text[0])) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

bool is_literal(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c != '{' && c != '}' && c != '?' && c != '#' && c != '%' && c != 0x7F;
  });
}

// The segments of "/a/{b}/c" without their slashes; "/" has one, which is empty.
std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;
  path.remove_prefix(1);
  for (;;) {
    const std::size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

struct Pattern {
  std::vector<std::string_view> segments;  // a placeholder with its braces
  std::vector<std::string> names;
};

bool is_placeholder(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

Result<Pattern> parse_pattern(std::string_view text) {
  const auto wrong = [&](std::string_view what) {
    return invalid("route pattern '" + std::string(text) + "': " + std::string(what));
  };
  if (text.empty() || text[0] != '/') return wrong("it must start with '/'");
  Pattern pattern;
  pattern.segments = split(text);
  for (std::string_view segment : pattern.segments) {
    if (!is_placeholder(segment)) {
      if (!is_literal(segment)) return wrong("a segment is a literal or one {placeholder}");
      continue;
    }
    const std::string_view name = segment.substr(1, segment.size() - 2);
    if (!is_name(name)) return wrong("a placeholder's name is letters, digits and '_'");
    if (std::find(pattern.names.begin(), pattern.names.end(), name) != pattern.names.end()) {
      return wrong("two placeholders have one name");
    }
    pattern.names.emplace_back(name);
  }
  return pattern;
}

}  // namespace

Result<void> Router::add(Route route) {
  const Result<Pattern> pattern = parse_pattern(route.pattern);
  if (!pattern) return pattern.error();
  if (!route.handler) return invalid("route pattern '" + route.pattern + "': it has no handler");
  std::size_t at = 0;
  for (std::string_view segment : pattern->segments) {
    std::size_t next = 0;
    if (is_placeholder(segment)) {
      next = nodes_[at].placeholder;
    } else {
      for (const auto& [literal, node] : nodes_[at].literals) {
        if (literal == segment) next = node;
      }
    }
    if (next == 0) {
      next = nodes_.size();
      nodes_.emplace_back();
      if (is_placeholder(segment)) {
        nodes_[at].placeholder = next;
      } else {
        nodes_[at].literals.emplace_back(std::string(segment), next);
      }
    }
    at = next;
  }
  for (std::size_t index : nodes_[at].routes) {
    if (routes_[index].method == route.method) {
      return conflict("route " + std::string(to_string(route.method)) + " '" + route.pattern +
                      "' is there already, as '" + routes_[index].pattern + "'");
    }
  }
  nodes_[at].routes.push_back(routes_.size());
  placeholders_.push_back(pattern->names);
  routes_.push_back(std::move(route));
  return {};
}

// What a search for one request has found so far.
struct Router::Search {
  Method method;
  std::vector<std::string_view> values;  // of the placeholders on the way here
  const Route* route = nullptr;
  std::set<std::string_view> allowed;  // methods of the path's routes; filled while none matches
};

const Route* Router::route_at(const Node& node, Method method) const {
  const Route* get = nullptr;
  for (std::size_t index : node.routes) {
    if (routes_[index].method == method) return &routes_[index];
    if (routes_[index].method == Method::kGet) get = &routes_[index];
  }
  return method == Method::kHead ? get : nullptr;
}

// `rest` is what follows the slash after the segments that led to `node`.
void Router::search(std::size_t node, std::string_view rest, Search& state) const {
  const std::size_t slash = rest.find('/');
  const std::string_view segment = rest.substr(0, slash);
  const auto enter = [&](std::size_t next) {
    if (slash != std::string_view::npos) {
      search(next, rest.substr(slash + 1), state);
      return;
    }
    state.route = route_at(nodes_[next], state.method);
    if (state.route != nullptr) return;
    for (std::size_t index : nodes_[next].routes) {
      state.allowed.insert(to_string(routes_[index].method));
      if (routes_[index].method == Method::kGet) state.allowed.insert("HEAD");
    }
  };
  for (const auto& [literal, next] : nodes_[node].literals) {
    if (literal == segment) {
      enter(next);
      break;
    }
  }
  if (state.route != nullptr || nodes_[node].placeholder == 0 || segment.empty()) return;
  state.values.push_back(segment);
  enter(nodes_[node].placeholder);
  if (state.route == nullptr) state.values.pop_back();
}

Router::Match Router::match(Request& request) const {
  request.path_parameters.clear();
  Match match;
  if (request.path.empty() || request.path[0] != '/') return match;
  Search state;
  state.method = request.method;
  search(0, std::string_view(request.path).substr(1), state);
  match.route = state.route;
  if (match.route != nullptr) {
    const auto& names = placeholders_[static_cast<std::size_t>(match.route - routes_.data())];
    for (std::size_t i = 0; i < names.size(); ++i) {
      request.path_parameters.emplace_back(names[i], std::string(state.values[i]));
    }
    return match;
  }
  for (std::string_view method : state.allowed) {
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += method;
  }
  return match;
}

}  // namespace gpu_telemetry::http
