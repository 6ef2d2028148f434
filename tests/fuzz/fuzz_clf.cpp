// A line of the Common or Combined Log Format: malformed under every key or none, and every key a part of it;
// and the reader that is fast says of each line what the thorough one does.
#include <algorithm>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/text/line_formats.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace tally;
  std::string_view const line(reinterpret_cast<char const*>(data), size);
  ClfClock one, other;
  ParsedLine const host = parse_clf(line, ClfKey::host, one);
  for (ClfKey const key : {ClfKey::method, ClfKey::target, ClfKey::status, ClfKey::agent}) {
    ParsedLine const parsed = parse_clf(line, key, one);
    bool const common = key == ClfKey::agent && parsed.problem.starts_with("no agent:");
    fuzz::require(common || parsed.problem == host.problem, "a line is malformed under every key or none");
    fuzz::require(!parsed.problem.empty() || parsed.key == "-" || fuzz::within(parsed.key, line),
                  "the key is of the line");
    fuzz::require(!parsed.problem.empty() || parsed.time_s == host.time_s,
                  "the time is the same under every key");
  }
  fuzz::require(parse_clf(line, ClfKey::host, other).time_s == host.time_s,
                "the clock's memory changes nothing");
  std::size_t position = 0;
  ClfLines lines(line);
  for (ClfLine each; lines.next(each);) {
    std::size_t const end = std::min(line.find('\n', position), line.size());
    std::string_view text = line.substr(position, end - position);
    if (text.ends_with('\r')) text.remove_suffix(1);
    fuzz::require(each.text.data() == line.data() + position && each.text == text, "it is the next line");
    for (ClfKey const key : {ClfKey::host, ClfKey::target, ClfKey::agent}) {
      ParsedLine const fast = parse_clf(each, key, one), thorough = parse_clf(text, key, other);
      fuzz::require(fast.key == thorough.key && fast.problem == thorough.problem,
                    "both readers say the same");
      fuzz::require(!fast.problem.empty() || fast.time_s == thorough.time_s, "at the same time");
    }
    position = end + 1;
  }
  fuzz::require(position >= line.size(), "all lines are read");
  return 0;
}
