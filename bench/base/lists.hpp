// Lists and choices, as people write them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bench/base/usage_error.hpp"

namespace tally {

/// The items of the comma-separated `text`; an empty item is a UsageError.
std::vector<std::string> split_list(std::string_view flag, std::string_view text);

/// `a, b, c`
std::string join(std::vector<std::string> const& items);

/// The value named `text` among `choices` (pairs of name and value). Throws UsageError that names them all.
template <class Choices>
auto choose(std::string_view flag, std::string_view text, Choices const& choices) {
  std::vector<std::string> names;
  for (auto const& [name, value] : choices) {
    if (name == text) return value;
    names.emplace_back(name);
  }
  throw UsageError(std::string(flag) + " '" + std::string(text) + "': write one of " + join(names));
}

}  // namespace tally
