// Medians with distribution-free intervals.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace tally {

/// A median and its interval.
struct Interval {
  double median = 0;
  double low = 0;
  double high = 0;
  double coverage = 0;   ///< what the order statistics really cover: >= 0.95, or less with fewer than 6 values
  int n = 0;
  /// The larger half-width, relative to the median.
  double relative_half_width() const;
};

/// The median of `values` with the narrowest symmetric pair of order statistics that covers it with at least 95%
/// (binomial; Hoefler & Belli SC15, rule 5 and section 3.1.3; David & Nagaraja, Order Statistics, 7.1). With fewer than 6 values no pair does:
/// then minimum and maximum, with the coverage they have. `values` must not be empty: throws std::invalid_argument.
Interval median_interval(std::span<double const> values);

/// Values outside the quartiles by more than 1.5 times their distance (Tukey). Counted and shown, never dropped.
int count_outliers(std::span<double const> values);

}  // namespace tally
