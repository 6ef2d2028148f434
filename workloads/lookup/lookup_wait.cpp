#include "workloads/lookup/lookup_wait.hpp"

#include <cmath>

#include "workloads/base/portable_math.hpp"
#include "workloads/base/random.hpp"

namespace tally {
namespace {

/// Uniform in (0, 1], whose logarithm is finite.
double positive_uniform(IndexedRandom& random) noexcept { return 1.0 - random.uniform(); }

/// A standard normal by Marsaglia's polar method (Marsaglia & Bray, "A convenient method for generating
/// normal variables", SIAM Review 6, 1964): of arithmetic, logarithm and square root alone, which round alike
/// everywhere.
double normal(IndexedRandom& random) noexcept {
  while (true) {
    double const u = 2 * random.uniform() - 1;
    double const v = 2 * random.uniform() - 1;
    double const s = u * u + v * v;
    if (s > 0 && s < 1) return u * std::sqrt(-2 * portable_log(s) / s);
  }
}

}  // namespace

std::chrono::nanoseconds draw_wait(WaitSpec const& spec, std::uint64_t seed, std::uint64_t event) noexcept {
  if (spec.mean.count() <= 0) return std::chrono::nanoseconds{0};
  // A sequence of its own: the key of the event, from the same seed, must say nothing about its wait.
  constexpr std::uint64_t kWaits = 0x7761697473ULL;
  IndexedRandom random(mix64(seed + kWaits), event);
  double factor = 1;
  switch (spec.distribution) {
    case WaitDistribution::fixed:
      return spec.mean;
    case WaitDistribution::exponential:
      factor = -portable_log(positive_uniform(random));
      break;
    case WaitDistribution::lognormal:
      // With sigma 1 the mean is exp(mu + 1/2), so mu is log(mean) - 1/2.
      factor = portable_exp(normal(random) - 0.5);
      break;
  }
  // A century, far within 64 bits: no mean that a person waits for comes near it.
  constexpr double kLongest_ns = 3.2e18;
  double const wait_ns = static_cast<double>(spec.mean.count()) * factor;
  return std::chrono::nanoseconds{static_cast<std::int64_t>(wait_ns < kLongest_ns ? wait_ns : kLongest_ns)};
}

double wait_quantile(WaitDistribution distribution, double percent) noexcept {
  double const p = percent / 100;
  switch (distribution) {
    case WaitDistribution::fixed:
      return 1;
    case WaitDistribution::exponential:
      return -std::log1p(-p);
    case WaitDistribution::lognormal:
      break;
  }
  // The normal quantile by bisection of its distribution, erfc.
  double low = -10, high = 10;
  while (high - low > 1e-9) {
    double const z = (low + high) / 2;
    (std::erfc(-z / std::sqrt(2.0)) / 2 < p ? low : high) = z;
  }
  return std::exp(low - 0.5);
}

}  // namespace tally
