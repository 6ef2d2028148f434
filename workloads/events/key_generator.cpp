#include "workloads/events/key_generator.hpp"

#include <stdexcept>
#include <string>

#include "workloads/base/portable_math.hpp"
#include "workloads/base/random.hpp"

namespace tally {
namespace {

// (e^x - 1) / x and log(1 + x) / x, continuous at 0.
double expm1_over(double x) noexcept { return x == 0 ? 1 : portable_expm1(x) / x; }
double log1p_over(double x) noexcept { return x == 0 ? 1 : portable_log1p(x) / x; }

}  // namespace

KeyGenerator::KeyGenerator(KeySpec const& spec) : spec_(spec) {
  if (spec.keys < 1 || spec.keys > kMaxKeys) {
    throw std::invalid_argument("keys must be 1 to " + std::to_string(kMaxKeys) + ", not " +
                                std::to_string(spec.keys));
  }
  if (!(spec.skew >= 0 && spec.skew <= 10)) {
    throw std::invalid_argument("skew must be 0 (uniform) to 10, not " + std::to_string(spec.skew));
  }
  if (spec.skew > 0) {
    h_integral_x1_ = h_integral(1.5) - 1;
    h_integral_n_ = h_integral(spec.keys + 0.5);
    s_ = 2 - h_integral_inverse(h_integral(2.5) - h(2));
  }
}

// The paper's h(x) = x^-skew, its integral from 1 (in a form that has no pole at skew 1), and that integral's
// inverse.
double KeyGenerator::h(double x) const noexcept { return portable_exp(-spec_.skew * portable_log(x)); }

double KeyGenerator::h_integral(double x) const noexcept {
  double const log_x = portable_log(x);
  return expm1_over((1 - spec_.skew) * log_x) * log_x;
}

double KeyGenerator::h_integral_inverse(double x) const noexcept {
  double t = x * (1 - spec_.skew);
  if (t < -1 + 0x1p-53) t = -1 + 0x1p-53;  // rounding may pass the pole
  return portable_exp(log1p_over(t) * x);
}

std::uint32_t KeyGenerator::key(std::uint64_t event) const noexcept {
  IndexedRandom random(spec_.seed, event);
  if (spec_.skew == 0) return static_cast<std::uint32_t>(random.below(spec_.keys));
  for (;;) {
    double const u = h_integral_n_ + random.uniform() * (h_integral_x1_ - h_integral_n_);
    double const x = h_integral_inverse(u);
    double const rounded = x + 0.5;
    std::uint32_t const k = rounded < 1             ? 1
                            : rounded >= spec_.keys ? spec_.keys
                                                    : static_cast<std::uint32_t>(rounded);
    if (k - x <= s_ || u >= h_integral(k + 0.5) - h(k)) return k - 1;
  }
}

}  // namespace tally
