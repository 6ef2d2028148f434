// Times: what a pattern reads, strptime(3) of the C library reads as the same time.
#include <time.h>

#include <stdexcept>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/text/times.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace tally;
  fuzz::Input input(data, size);
  std::string const pattern(input.until('\n').substr(0, 100)), text(input.rest());
  for (char const* const format : {"iso", "epoch-s", "epoch-ns"}) {
    auto const time = TimeFormat(format).read(text);
    fuzz::require(!time || (*time > -200'000'000'000'000 && *time < 200'000'000'000'000),
                  "a time can be calculated with");
  }
  try {
    TimeFormat const format(pattern);
    if (!format.pattern()) return 0;
    std::size_t length = 0;
    auto const time = format.read(text);
    auto const prefix = format.read_prefix(text, length);
    fuzz::require(length <= text.size(), "no more is read than there is");
    if (!time) return 0;
    fuzz::require(prefix == time && length == text.size(), "the whole is a prefix of itself");
    // %s and %j leave the library's other fields to the order that they come in; %f and %Z it does not have,
    // or not so; and of clocks of twelve hours it takes the last part that it reads.
    for (char const* const ours : {"%s", "%j", "%f", "%Z", "%p", "%I", "%l"})
      if (pattern.find(ours) != std::string::npos) return 0;
    if (text.find('\0') != std::string::npos || pattern.find('\0') != std::string::npos) return 0;
    struct tm parts {};
    parts.tm_year = 70;
    parts.tm_mday = 1;
    char const* const end = strptime(text.c_str(), pattern.c_str(), &parts);
    fuzz::require(end != nullptr && *end == '\0', "what is read, strptime reads");
    auto const zone = parts.tm_gmtoff;
    fuzz::require(timegm(&parts) - zone == *time, "it is the same time");
  } catch (std::invalid_argument const&) {
  }
  return 0;
}
