// Medians with distribution-free intervals.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace tally {

/// The confidence that an interval is built for, where nothing else is said.
inline constexpr double kConfidence = 0.95;

/// Fewer values have no interval of that confidence.
inline constexpr int kLeastValues = 6;

/// A median and its interval.
struct Interval {
  double median = 0;
  double low = 0;
  double high = 0;
  double coverage =
      0;  ///< what the order statistics really cover: >= confidence, or less with too few values
  int n = 0;
  double confidence = kConfidence;  ///< that was asked for
  /// Whether there were values enough for the confidence that was asked for; else nothing may be claimed.
  bool holds() const { return coverage >= confidence; }
  /// The larger half-width, relative to the median. 0 for an interval of no width; infinite if only the
  /// median is 0.
  double relative_half_width() const;
  /// The interval, where it is narrower made as wide as `relative`, a half-width relative to the median,
  /// says: nothing is known better than that. Of what cannot be below 0, such as a rate; `relative` >= 0.
  Interval no_narrower_than(double relative) const;
};

/// A pair of order statistics by rank, counted from 1, and the probability that they enclose the median.
struct Ranks {
  int low = 1;
  int high = 1;
  double coverage = 0;
};

/// The narrowest symmetric pair of ranks among `n` >= 1 values that encloses the median with at least
/// `confidence`: the sum of the binomial(n, 1/2) probabilities of low to high - 1 (David & Nagaraja, Order
/// Statistics, 7.1). With too few values (below 6 for 95%) no pair does: then 1 and n, with the coverage they
/// have. Throws std::invalid_argument for n < 1.
Ranks median_ranks(int n, double confidence = kConfidence);

/// The median of `values` with the narrowest symmetric pair of order statistics that covers it with at least
/// `confidence` (binomial; Hoefler & Belli SC15, rule 5 and section 3.1.3; David & Nagaraja, Order
/// Statistics, 7.1). With too few values (fewer than 6 for 95%) no pair does: then minimum and maximum, with
/// the coverage they have. `values` must not be empty: throws std::invalid_argument.
Interval median_interval(std::span<double const> values, double confidence = kConfidence);

/// The value at fraction `p` (0 to 1) of the values, which are sorted and at least one, between neighbours by
/// linear interpolation (type 7 of Hyndman & Fan, "Sample Quantiles in Statistical Packages", 1996).
double quantile(std::span<double const> sorted, double p);

/// Values outside the quartiles by more than 1.5 times their distance (Tukey). Counted and shown, never
/// dropped.
int count_outliers(std::span<double const> values);

/// The arithmetic mean. `values` must not be empty: throws std::invalid_argument.
double mean(std::span<double const> values);

/// The sample standard deviation (n - 1); none below two values.
std::optional<double> standard_deviation(std::span<double const> values);

}  // namespace tally
