// NDJSON: a JSON object a line (https://github.com/ndjson/ndjson-spec), keyed by the string at a path.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/text/parsed_line.hpp"
#include "workloads/text/times.hpp"

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

}  // namespace tally
