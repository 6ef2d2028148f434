#include "workloads/grain.hpp"

#include <algorithm>
#include <cmath>

#include "workloads/random.hpp"

namespace tally {

std::uint64_t grind(std::uint64_t event, std::uint64_t iterations) noexcept {
  if (iterations == 0) return 0;
  std::uint64_t x = mix64(event + 1);
  for (std::uint64_t i = 0; i < iterations; ++i) {
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
  }
  return x;
}

Grain make_grain(std::chrono::nanoseconds duration, double links_per_ns) {
  if (duration.count() <= 0) return {};
  double const links = std::round(static_cast<double>(duration.count()) * links_per_ns);
  return {duration, std::max<std::uint64_t>(1, static_cast<std::uint64_t>(links))};
}

}  // namespace tally
