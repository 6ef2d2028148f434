#include "workloads/base/portable_math.hpp"

#include <bit>
#include <cstdint>

namespace tally {
namespace {

// ln 2 in two parts; the high one has trailing zeros, so that a small integer times it is exact (Cody &
// Waite).
constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;

}  // namespace

double portable_log(double x) noexcept {
  // x = m * 2^k with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172.
  int k = 0;
  if (x < 0x1p-1022) {  // subnormal
    x *= 0x1p54;
    k = -54;
  }
  auto bits = std::bit_cast<std::uint64_t>(x);
  k += static_cast<int>(bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL;
  double m = std::bit_cast<double>(bits);
  if (m >= 1.41421356237309504880) {
    m *= 0.5;
    ++k;
  }
  double const s = (m - 1) / (m + 1);
  double const z = s * s;
  double series = 0;
  for (int n = 23; n >= 3; n -= 2) series = (series + 1.0 / n) * z;
  double const log_m = 2 * (s + s * series);
  return k * kLn2High + (log_m + k * kLn2Low);
}

double portable_exp(double x) noexcept {
  if (x < -708) return 0;
  if (x > 709) x = 709;
  // x = k ln 2 + r with |r| <= ln 2 / 2; Taylor's series of e^r to r^14 is below an ulp.
  double const scaled = x * 1.44269504088896340736;
  int const k = static_cast<int>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  double const r = (x - k * kLn2High) - k * kLn2Low;
  double series = 1;
  for (int n = 14; n >= 1; --n) series = 1 + series * r / n;
  // 2^k in two factors: k = 1024 would not fit an exponent, though the product does.
  auto const power = [](int e) { return std::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52); };
  int const half = k / 2;
  return series * power(half) * power(k - half);
}

double portable_log1p(double x) noexcept {
  double const u = 1 + x;
  return u == 1 ? x : x * portable_log(u) / (u - 1);
}

double portable_expm1(double x) noexcept {
  double const u = portable_exp(x);
  if (u == 1) return x;
  if (u - 1 <= -1) return -1;
  return (u - 1) * x / portable_log(u);
}

}  // namespace tally
