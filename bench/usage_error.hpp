// A command line that is wrong.
#pragma once

#include <stdexcept>

namespace tally {

/// The command line is wrong: what() is one line that says what to write instead. Exit status 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace tally
