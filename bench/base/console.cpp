#include "bench/base/console.hpp"

#include <unistd.h>

#include <string>
#include <system_error>

#include "bench/base/atomic_file.hpp"

namespace tally {

void write_output(std::string_view text) {
  write_all(STDOUT_FILENO, text, "cannot write to standard output");
}

void complain(std::string_view message) {
  std::string line = "tally: " + std::string(message);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  line += '\n';
  try {
    write_all(STDERR_FILENO, line, "standard error");
  } catch (std::system_error const&) {
    // Nobody reads standard error; the exit status still tells.
  }
}

}  // namespace tally
