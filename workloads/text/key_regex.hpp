// Lines keyed by what a regular expression finds in them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "workloads/text/parsed_line.hpp"
#include "workloads/text/times.hpp"

namespace re2 {
class RE2;
}

namespace tally {

/// A regular expression with one group, the key, or with a second one that has a name, the time. By RE2: its
/// time is linear in the line's length, whatever the expression. Immutable; any thread may use it. Copies
/// share it.
class KeyRegex {
 public:
  /// `pattern` in RE2's syntax (https://github.com/google/re2/wiki/Syntax), looked for anywhere in a line.
  /// `time_group`: the name of the group that is the time; "" for none. Throws std::invalid_argument, one
  /// line, for what RE2 does not take, and for other groups than these.
  KeyRegex(std::string const& pattern, std::string const& time_group);

  /// Reads a line; the key is a view into it. A line that does not match, or in which a group took no part,
  /// is malformed.
  ParsedLine parse(std::string_view line, TimeFormat const& time_format) const;

 private:
  std::shared_ptr<re2::RE2 const> regex_;
  int key_group_ = 1;
  int time_group_ = 0;
};

}  // namespace tally
