// Event lines as servers read them: cut anywhere, they count as they do whole.
#include <algorithm>
#include <chrono>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/ingest/live_tally.hpp"
#include "workloads/text/event_lines.hpp"

namespace {

using namespace tally;

struct Said {
  LiveTally::Totals totals;
  Counts counts = Counts::text();
};

/// What a connection counts that sends `text` in pieces of so many bytes.
Said count(std::string_view text, std::size_t piece, LineRules const& rules) {
  auto const tally = LiveTally::make(std::size_t{64} << 20);
  LineRest rest;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    std::string bytes(text.substr(at, piece));
    std::size_t const length = bytes.size();
    bytes.append(kReadAheadBytes, '\0');
    tally->count(std::string_view(bytes).substr(0, length), rest, rules);
  }
  tally->end(rest);
  Said said{.totals = tally->totals()};
  tally->take_windows(std::chrono::nanoseconds::max(), said.counts);
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace std::chrono_literals;
  fuzz::Input input(data, size);
  std::size_t const piece = 1 + input.below(100);
  LineRules rules;
  rules.window = 60s;
  rules.line_max = 32 + input.below(64);
  static LineFormat const kFields{.format = TextFormat::lines, .key_field = 1};
  static LineFormat const kJson{.format = TextFormat::ndjson, .json_key = JsonPath("a")};
  std::size_t const format = input.below(4);
  if (format == 1) rules.format = kFields;
  if (format == 2) rules.format = kJson;
  std::string_view const text = input.rest();
  Said const whole = count(text, std::max<std::size_t>(text.size(), 1), rules),
             cut = count(text, piece, rules);
  fuzz::require(whole.totals.events == cut.totals.events, "as many events");
  fuzz::require(whole.totals.malformed == cut.totals.malformed, "as many malformed lines");
  fuzz::require(whole.counts.difference(cut.counts).empty(), "the same counts");
  parse_event_line(text);
  return 0;
}
