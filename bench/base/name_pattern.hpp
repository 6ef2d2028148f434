// Regular expressions that names of cells are held against.
#pragma once

#include <memory>
#include <string>

struct re_pattern_buffer;

namespace tally {

/// A POSIX extended regular expression (regex(7)), as Google Benchmark takes them.
class NamePattern {
 public:
  /// Throws std::invalid_argument that says what is wrong with `pattern`.
  explicit NamePattern(std::string const& pattern);
  /// Whether it is found anywhere in `name`.
  bool found_in(std::string const& name) const;

 private:
  struct Free {
    void operator()(re_pattern_buffer* compiled) const;
  };
  std::unique_ptr<re_pattern_buffer, Free> compiled_;
};

}  // namespace tally
