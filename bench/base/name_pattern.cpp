#include "bench/base/name_pattern.hpp"

#include <regex.h>

#include <stdexcept>

namespace tally {

void NamePattern::Free::operator()(re_pattern_buffer* compiled) const {
  ::regfree(compiled);
  delete compiled;
}

NamePattern::NamePattern(std::string const& pattern) {
  auto compiled = std::make_unique<regex_t>();
  if (int const error = ::regcomp(compiled.get(), pattern.c_str(), REG_EXTENDED | REG_NOSUB); error != 0) {
    char text[128];
    ::regerror(error, compiled.get(), text, sizeof text);
    throw std::invalid_argument(text);
  }
  compiled_.reset(compiled.release());
}

bool NamePattern::found_in(std::string const& name) const {
  return ::regexec(compiled_.get(), name.c_str(), 0, nullptr, 0) == 0;
}

}  // namespace tally
