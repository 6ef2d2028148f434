#include "workloads/text/ndjson.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <stdexcept>

#include "workloads/text/utf8.hpp"

namespace tally {
namespace {

namespace dom = simdjson::dom;

/// What a thread parses with: its memory is used again for every line.
struct LineParser {
  dom::parser parser;
  std::string padded;  // simdjson reads beyond a text's end
};

LineParser& parser_of_this_thread() {
  static thread_local LineParser parser;
  return parser;
}

/// Why a line is no JSON; what simdjson calls it, where a person can do something with it.
std::string_view json_problem(simdjson::error_code error) noexcept {
  switch (error) {
    case simdjson::UTF8_ERROR:
      return "invalid UTF-8";
    case simdjson::UNCLOSED_STRING:
      return "broken JSON: a string is not closed";
    case simdjson::EMPTY:
      return "empty line";
    case simdjson::DEPTH_ERROR:
      return "JSON nested deeper than 1024";
    case simdjson::NUMBER_ERROR:
      return "broken JSON: a number that is none, or too large";
    default:
      return "broken JSON";
  }
}

struct Problems {
  std::string_view missing, twice;
};

/// The value at `path`, or why there is none.
std::string_view find_value(dom::element root, JsonPath const& path, Problems const& problems,
                            dom::element& found) {
  found = root;
  for (std::string const& name : path.names()) {
    dom::object object;
    if (found.get(object) != simdjson::SUCCESS) return problems.missing;
    std::size_t times = 0;
    for (dom::key_value_pair const member : object) {
      // Most names of the same length differ in their first byte, which takes no call of a function to see.
      if (member.key.size() != name.size() || member.key.front() != name.front()) continue;
      if (member.key != name) continue;
      found = member.value;
      ++times;
    }
    if (times == 0) return problems.missing;
    if (times > 1) return problems.twice;
  }
  return {};
}

std::string_view read_key(dom::element root, JsonPath const& path, std::string_view& key) {
  dom::element value;
  std::string_view const problem =
      find_value(root, path, {"the key is missing", "the key stands there twice"}, value);
  if (!problem.empty()) return problem;
  switch (value.type()) {
    case dom::element_type::STRING:
      key = value.get_string().value_unsafe();
      return {};
    case dom::element_type::NULL_VALUE:
      return "the key is null, not a string";
    case dom::element_type::BOOL:
      return "the key is true or false, not a string";
    case dom::element_type::ARRAY:
    case dom::element_type::OBJECT:
      return "the key is nested, not a string";
    default:
      return "the key is a number, not a string";
  }
}

std::optional<std::int64_t> number_of(dom::element value, TimeFormat const& format) {
  char text[32];
  std::int64_t whole = 0;
  if (value.get(whole) == simdjson::SUCCESS) {
    auto const length = std::snprintf(text, sizeof text, "%lld", static_cast<long long>(whole));
    return format.read({text, static_cast<std::size_t>(length)});
  }
  double real = 0;
  if (value.get(real) != simdjson::SUCCESS || !(real > -1e18 && real < 1e18)) return std::nullopt;
  auto const length = std::snprintf(text, sizeof text, "%.6f", real);
  return format.read({text, static_cast<std::size_t>(length)});
}

std::string_view read_json_time(dom::element root, JsonPath const& path, TimeFormat const& format,
                                std::int64_t& time_s) {
  dom::element value;
  std::string_view const problem =
      find_value(root, path, {"the time is missing", "the time stands there twice"}, value);
  if (!problem.empty()) return problem;
  std::string_view text;
  std::optional<std::int64_t> time;
  if (value.get(text) == simdjson::SUCCESS) {
    time = format.read(text);
  } else if (format.epoch()) {
    time = number_of(value, format);
  } else {
    return "the time is not a string";
  }
  if (!time) return format.problem();
  time_s = *time;
  return {};
}

}  // namespace

JsonPath::JsonPath(std::string_view text) {
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t const dot = std::min(text.find('.', begin), text.size());
    if (dot == begin) {
      throw std::invalid_argument(
          "'" + std::string(text) +
          "' is no path of format ndjson: give names joined by dots, such as user.id");
    }
    names_.emplace_back(text.substr(begin, dot - begin));
    begin = dot + 1;
  }
}

ParsedLine parse_ndjson(std::string_view line, JsonPath const& key, JsonPath const& time,
                        TimeFormat const& time_format, std::size_t behind) {
  LineParser& mine = parser_of_this_thread();
  char const* text = line.data();
  if (behind < simdjson::SIMDJSON_PADDING) {
    mine.padded.assign(line);
    mine.padded.append(simdjson::SIMDJSON_PADDING, ' ');
    text = mine.padded.data();
  }
  dom::element root;
  auto const error =
      mine.parser.parse(reinterpret_cast<std::uint8_t const*>(text), line.size(), false).get(root);
  if (error == simdjson::MEMALLOC) throw std::bad_alloc();
  if (error != simdjson::SUCCESS) return malformed_line(json_problem(error));
  ParsedLine parsed;
  parsed.key_is_copy = true;
  parsed.problem = read_key(root, key, parsed.key);
  if (parsed.problem.empty() && !time.empty())
    parsed.problem = read_json_time(root, time, time_format, parsed.time_s);
  return parsed.problem.empty() ? parsed : malformed_line(parsed.problem);
}

bool is_utf8(std::string_view text) noexcept { return simdjson::validate_utf8(text.data(), text.size()); }

}  // namespace tally
