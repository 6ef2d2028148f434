// The keys of synthetic events, drawn one by one.
#pragma once

#include <cstdint>

namespace tally {

inline constexpr std::uint32_t kMaxKeys = 16u << 20;

/// How keys are distributed: uniform over [0, keys), or Zipf (key k with probability proportional to
/// 1/(k+1)^skew).
struct KeySpec {
  std::uint64_t seed = 1;
  std::uint32_t keys = 1000;  ///< 1 to kMaxKeys
  double skew = 0;            ///< Zipf exponent; 0 is uniform; at most 10
};

/// Draws the key of event i. Zipf keys by rejection-inversion (Hoermann & Derflinger, "Rejection-inversion to
/// generate variates from monotone discrete distributions", ACM TOMACS 6, 1996), in arithmetic that rounds
/// alike everywhere.
class KeyGenerator {
 public:
  /// Throws std::invalid_argument for a spec outside its limits.
  explicit KeyGenerator(KeySpec const& spec);
  std::uint32_t key(std::uint64_t event) const noexcept;
  KeySpec const& spec() const noexcept { return spec_; }

 private:
  double h(double x) const noexcept;
  double h_integral(double x) const noexcept;
  double h_integral_inverse(double x) const noexcept;
  KeySpec spec_;
  double h_integral_x1_ = 0, h_integral_n_ = 0, s_ = 0;
};

}  // namespace tally
