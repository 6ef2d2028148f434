#include "bench/plan/slo.hpp"

#include <charconv>

#include "bench/base/units.hpp"
#include "bench/base/usage_error.hpp"

namespace tally {

std::string spell(Slo const& slo) {
  char text[32];
  auto const end = std::to_chars(text, text + sizeof text, slo.percent).ptr;
  return "p" + std::string(text, end) + "=" + format_duration(slo.latency);
}

Slo parse_slo(std::string_view flag, std::string const& text) {
  std::string const wrong =
      std::string(flag) + " '" + text + "': write a percentile and a duration, as in p99=5ms";
  auto const equals = text.find('=');
  if (!text.starts_with('p') || equals == std::string::npos) throw UsageError(wrong);
  Slo slo;
  char const* const begin = text.data() + 1;
  char const* const end = text.data() + equals;
  if (auto const [read, error] = std::from_chars(begin, end, slo.percent, std::chars_format::fixed);
      begin == end || read != end || error != std::errc{})
    throw UsageError(wrong);
  if (!(slo.percent >= 1 && slo.percent <= 99.99))
    throw UsageError(std::string(flag) + " '" + text + "': a percentile is from p1 to p99.99");
  slo.latency = parse_duration(flag, text.substr(equals + 1));
  if (slo.latency.count() == 0) throw UsageError(wrong + "; no event takes no time");
  return slo;
}

}  // namespace tally
