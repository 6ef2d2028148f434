#include "workloads/counting/grain.hpp"

#include <algorithm>
#include <cmath>

namespace tally {

std::uint64_t grind(std::uint64_t event, std::uint64_t iterations) noexcept {
  std::uint64_t chain = 0;
  return Grinder(iterations, chain)(event);
}

Grain make_grain(std::chrono::nanoseconds duration, double links_per_ns) {
  if (duration.count() <= 0) return {};
  double const links = std::round(static_cast<double>(duration.count()) * links_per_ns - kLinksBetweenEvents);
  return {duration, static_cast<std::uint64_t>(std::max(1.0, links))};
}

double event_ns(Grain const& grain, double links_per_ns) noexcept {
  return (static_cast<double>(grain.iterations) + kLinksBetweenEvents) / links_per_ns;
}

}  // namespace tally
