// What a record of a text says.
#pragma once

#include <cstdint>
#include <string_view>

namespace tally {

/// What a line, or a record of several, says. Views are into the line unless `key_is_copy`, or to string
/// literals.
struct ParsedLine {
  std::string_view key;
  std::int64_t time_s = 0;   ///< seconds since the epoch, UTC; 0 where the time is not read
  std::string_view problem;  ///< why the line is malformed, a string literal; empty: it is well formed
  bool key_is_copy = false;  ///< the key stands not in the line: it is good until this thread parses the next
};

inline ParsedLine malformed_line(std::string_view problem) noexcept { return {{}, 0, problem, false}; }

}  // namespace tally
