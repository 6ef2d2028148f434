#include "workloads/ndjson.hpp"

#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <stdexcept>

#include "workloads/utf8.hpp"

namespace tally {
namespace {

namespace dom = simdjson::dom;

/// What a thread parses with: its memory is used again for every line.
struct ThreadParser {
  dom::parser parser;
  std::string padded;  // simdjson reads beyond a text's end
  dom::parser batch_parser;
  dom::document_stream batch;
  dom::document_stream::iterator next;  // of the batch
  bool next_is_given = false;
  NdjsonText const* batch_of = nullptr;

  ThreadParser() noexcept {
#ifdef SIMDJSON_THREADS_ENABLED
    batch_parser.threaded = false;  // a worker is one thread
#endif
  }
};

ThreadParser& parser_of_this_thread() {
  static thread_local ThreadParser parser;
  return parser;
}

bool is_blank(char const* begin, char const* end) noexcept {
  return std::all_of(begin, end, [](char byte) { return byte == ' ' || byte == '\t' || byte == '\r'; });
}

/// Why a line is no JSON; what simdjson calls it, where a person can do something with it.
std::string_view broken(simdjson::error_code error) noexcept {
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
std::string_view find(dom::element root, JsonPath const& path, Problems const& problems,
                      dom::element& found) {
  found = root;
  for (std::string const& name : path.names()) {
    dom::object object;
    if (found.get(object) != simdjson::SUCCESS) return problems.missing;
    std::size_t times = 0;
    for (dom::key_value_pair const member : object) {
      if (member.key.size() != name.size() || member.key != name) continue;
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
      find(root, path, {"the key is missing", "the key stands there twice"}, value);
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

std::optional<std::int64_t> read_number(dom::element value, TimeFormat const& format) {
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

std::string_view read_time(dom::element root, JsonPath const& path, TimeFormat const& format,
                           std::int64_t& time_s) {
  dom::element value;
  std::string_view const problem =
      find(root, path, {"the time is missing", "the time stands there twice"}, value);
  if (!problem.empty()) return problem;
  std::string_view text;
  std::optional<std::int64_t> time;
  if (value.get(text) == simdjson::SUCCESS) {
    time = format.read(text);
  } else if (format.epoch()) {
    time = read_number(value, format);
  } else {
    return "the time is not a string";
  }
  if (!time) return format.problem();
  time_s = *time;
  return {};
}

ParsedLine read(dom::element root, JsonPath const& key, JsonPath const& time, TimeFormat const& time_format) {
  ParsedLine parsed;
  parsed.key_is_copy = true;
  parsed.problem = read_key(root, key, parsed.key);
  if (parsed.problem.empty() && !time.empty())
    parsed.problem = read_time(root, time, time_format, parsed.time_s);
  return parsed.problem.empty() ? parsed : malformed_line(parsed.problem);
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
  ThreadParser& mine = parser_of_this_thread();
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
  if (error != simdjson::SUCCESS) return malformed_line(broken(error));
  return read(root, key, time, time_format);
}

NdjsonText::NdjsonText(std::string_view text, JsonPath const& key, JsonPath const& time,
                       TimeFormat const& time_format) noexcept
    : key_(key),
      time_(time),
      time_format_(time_format),
      end_(text.data() + text.size()),
      batch_end_(text.data()) {}

NdjsonText::~NdjsonText() {
  ThreadParser& mine = parser_of_this_thread();
  if (mine.batch_of == this) mine.batch_of = nullptr;
}

void NdjsonText::begin_batch(char const* begin) {
  ThreadParser& mine = parser_of_this_thread();
  if (mine.batch_of == this) mine.batch_of = nullptr;
  // Whole lines, behind which there is what simdjson may read.
  auto const left = static_cast<std::size_t>(end_ - begin);
  if (left <= simdjson::SIMDJSON_PADDING) return;
  std::string_view const reach(begin, std::min(left - simdjson::SIMDJSON_PADDING, kBatchBytes));
  std::size_t const last = reach.rfind('\n');
  if (last == std::string_view::npos || last == reach.find('\n')) return;  // a single line
  batch_ = begin;
  batch_end_ = begin + last + 1;
  mine.next_is_given = false;
  if (mine.batch_parser.parse_many(begin, last, kBatchBytes).get(mine.batch) != simdjson::SUCCESS) return;
  mine.next = mine.batch.begin();
  mine.batch_of = this;
}

bool NdjsonText::parse_next(std::string_view line, ParsedLine& parsed) {
  ThreadParser& mine = parser_of_this_thread();
  if (mine.batch_of != this) return false;
  if (mine.next_is_given) ++mine.next;
  mine.next_is_given = false;
  char const* const line_end = line.data() + line.size();
  dom::element root;
  if (mine.next != mine.batch.end() && (*mine.next).get(root) == simdjson::SUCCESS && root.is_object()) {
    char const* const object = batch_ + mine.next.current_index();
    if (object >= line_end) return false;  // it is another line's, and this one empty
    char const* const object_end = object + mine.next.source().size();
    if (object >= line.data() && object_end <= line_end && is_blank(object_end, line_end)) {
      mine.next_is_given = true;
      parsed = read(root, key_, time_, time_format_);
      return true;
    }
  }
  mine.batch_of = nullptr;
  return false;
}

ParsedLine NdjsonText::parse(std::string_view line) {
  if (line.data() >= batch_end_) begin_batch(line.data());
  ParsedLine parsed;
  if (parse_next(line, parsed)) return parsed;
  return parse_ndjson(line, key_, time_, time_format_,
                      static_cast<std::size_t>(end_ - line.data()) - line.size());
}

bool is_utf8(std::string_view text) noexcept { return simdjson::validate_utf8(text.data(), text.size()); }

}  // namespace tally
