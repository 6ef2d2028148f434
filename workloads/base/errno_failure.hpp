// System calls that failed.
#pragma once

#include <string>

namespace tally {

/// Throws std::system_error for `errno`, which is read first; `what` is what could not be done.
[[noreturn]] void fail_with_errno(char const* what);
[[noreturn]] void fail_with_errno(std::string const& what);
/// The same of a call that returns its error.
[[noreturn]] void fail_with_error(int error, char const* what);

}  // namespace tally
