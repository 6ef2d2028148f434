// NDJSON: a JSON object a line (https://github.com/ndjson/ndjson-spec), keyed by the string at a path.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/parsed_line.hpp"
#include "workloads/times.hpp"

namespace tally {

/// Where a value stands: the names of members, from the outermost object inwards.
class JsonPath {
 public:
  JsonPath() = default;
  /// `text`: names joined by dots, "a.b.c". Throws std::invalid_argument if a name is empty.
  explicit JsonPath(std::string_view text);
  bool empty() const noexcept { return names_.empty(); }
  std::vector<std::string> const& names() const noexcept { return names_; }

 private:
  std::vector<std::string> names_;
};

/// Reads a line, all of which is checked to be JSON in UTF-8. The key is the string at `key`, its escapes
/// resolved: good until the next call on this thread. What is missing, null, a number, true or false, nested,
/// or stands there twice, is malformed. With a `time` path, its time: a string, or for epochs also a number.
/// So many bytes `behind` the line can be read, but mean nothing: where these suffice, the line need not be
/// copied. Throws std::bad_alloc.
ParsedLine parse_ndjson(std::string_view line, JsonPath const& key, JsonPath const& time,
                        TimeFormat const& time_format, std::size_t behind = 0);

/// Parses the lines of a text, in their order, as parse_ndjson() does, but finds where values begin and end
/// for many lines at once, as simdjson's document streams do
/// (https://github.com/simdjson/simdjson/blob/master/doc/parse_many.md), which leave open where a line ends.
/// Whatever is no line with one object is parsed by itself, as are the lines behind it that were looked at
/// together with it. The text, path and format are the caller's. For one thread.
class NdjsonText {
 public:
  NdjsonText(std::string_view text, JsonPath const& key, JsonPath const& time,
             TimeFormat const& time_format) noexcept;
  NdjsonText(NdjsonText const&) = delete;
  NdjsonText& operator=(NdjsonText const&) = delete;
  ~NdjsonText();
  /// `line` is part of the text, without its line end, behind those parsed before. The key is good until the
  /// next call on this thread. Throws std::bad_alloc.
  ParsedLine parse(std::string_view line);

 private:
  static constexpr std::size_t kBatchBytes = 32768;  // what is made of them stays in the caches
  void begin_batch(char const* begin);
  /// Whether the batch's next object is the whole of this line; if so, what it says.
  bool parse_next(std::string_view line, ParsedLine& parsed);
  JsonPath const& key_;
  JsonPath const& time_;
  TimeFormat const& time_format_;
  char const* end_;
  char const* batch_ = nullptr;
  char const* batch_end_;  // the lines before were looked at
};

}  // namespace tally
