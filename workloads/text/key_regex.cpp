#include "workloads/text/key_regex.hpp"

#include <re2/re2.h>

#include <stdexcept>

namespace tally {

KeyRegex::KeyRegex(std::string const& pattern, std::string const& time_group) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  auto const regex = std::make_shared<re2::RE2>(pattern, options);
  std::string const named = "key regex '" + pattern + "'";
  if (!regex->ok()) throw std::invalid_argument(named + ": " + regex->error());
  int const groups = regex->NumberOfCapturingGroups();
  int const wanted = time_group.empty() ? 1 : 2;
  if (!time_group.empty()) {
    auto const found = regex->NamedCapturingGroups().find(time_group);
    if (found == regex->NamedCapturingGroups().end()) {
      throw std::invalid_argument(named + " has no group called '" + time_group + "': write (?P<" +
                                  time_group + ">...) around the time");
    }
    time_group_ = found->second;
    key_group_ = time_group_ == 1 ? 2 : 1;
  }
  if (groups != wanted) {
    throw std::invalid_argument(
        named + " has " + std::to_string(groups) + (groups == 1 ? " group" : " groups") + ": write " +
        (wanted == 1 ? "one, (...) around the key" : "two, one around the key and the time's") +
        "; (?:...) is no group");
  }
  regex_ = regex;
}

ParsedLine KeyRegex::parse(std::string_view line, TimeFormat const& time_format) const {
  constexpr int kMostGroups = 3;  // the whole match is group 0
  re2::StringPiece groups[kMostGroups];
  int const used = time_group_ == 0 ? 2 : 3;
  if (!regex_->Match(re2::StringPiece(line.data(), line.size()), 0, line.size(), re2::RE2::UNANCHORED, groups,
                     used))
    return malformed_line("the regex does not match");
  re2::StringPiece const& key = groups[key_group_];
  if (key.data() == nullptr) return malformed_line("the key's group took no part in the match");
  ParsedLine parsed;
  parsed.key = {key.data(), key.size()};
  if (time_group_ != 0) {
    re2::StringPiece const& text = groups[time_group_];
    if (text.data() == nullptr) return malformed_line("the time's group took no part in the match");
    auto const time = time_format.read({text.data(), text.size()});
    if (!time) return malformed_line(time_format.problem());
    parsed.time_s = *time;
  }
  return parsed;
}

}  // namespace tally
