// Any pattern on any line: refused or not, the key is of the line, and cutting off what follows the match
// changes nothing.
#include <stdexcept>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/text/key_regex.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace tally;
  fuzz::Input input(data, size);
  bool const timed = input.below(2) == 1;
  std::string const pattern(input.until('\n').substr(0, 200));
  try {
    KeyRegex const regex(pattern, timed ? "t" : "");
    std::string_view const line = input.rest();
    ParsedLine const parsed = regex.parse(line, TimeFormat("epoch-s"));
    if (!parsed.problem.empty()) return 0;
    fuzz::require(fuzz::within(parsed.key, line) && !parsed.key_is_copy, "the key is of the line");
    fuzz::require(KeyRegex(regex).parse(line, TimeFormat("epoch-s")).key == parsed.key, "a copy reads alike");
  } catch (std::invalid_argument const&) {
  }
  return 0;
}
