// What a person, or a pipe, is told.
#pragma once

#include <string_view>

namespace tally {

/// Writes `text` to standard output, and everything before it. Throws std::system_error if not all of it got
/// there (a full disk, a closed pipe: SIGPIPE must be ignored).
void write_output(std::string_view text);

/// Writes `tally: message` as one line to standard error; control characters become `?`, so that no file name
/// or key can break the line.
void complain(std::string_view message);

}  // namespace tally
