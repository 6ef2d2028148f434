// Blank-separated fields, against the plainest splitting there is.
#include <vector>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/text/line_formats.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace tally;
  fuzz::Input input(data, size);
  auto const key = static_cast<unsigned>(input.below(6)), time = static_cast<unsigned>(input.below(4));
  static TimeFormat const kFormats[] = {{}, TimeFormat("epoch-ms"), TimeFormat("%d %b %Y %H:%M:%S")};
  TimeFormat const& format = kFormats[input.below(3)];
  std::string_view const line = input.rest();
  std::vector<std::string> fields;
  std::string field;
  for (char const c : std::string(line) + ' ') {
    if (c != ' ' && c != '\t') {
      field += c;
    } else if (!field.empty()) {
      fields.push_back(field);
      field.clear();
    }
  }
  ParsedLine const parsed = parse_fields(line, key, time, format);
  bool const enough = fields.size() >= key && fields.size() >= time;
  if (time == 0)
    fuzz::require(parsed.problem.empty() == enough, "a line is malformed if it has too few fields");
  if (!parsed.problem.empty()) return 0;
  fuzz::require(enough, "the fields are there");
  fuzz::require(parsed.key == (key == 0 ? line : std::string_view(fields[key - 1])), "the key is its field");
  return 0;
}
