// A command line that is wrong, or asks for help.
#pragma once

#include <stdexcept>
#include <string>

namespace tally {

/// The command line is wrong: what() is one line that says what to write instead. Exit status 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// --help was among the arguments: `text` is what to print.
struct HelpRequested {
  std::string text;
};

}  // namespace tally
