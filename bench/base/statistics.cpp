#include "bench/base/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace tally {
namespace {

std::vector<double> sorted(std::span<double const> values) {
  if (values.empty()) throw std::invalid_argument("statistics of no values");
  std::vector<double> result(values.begin(), values.end());
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace

double quantile(std::span<double const> sorted, double p) {
  double const position = p * static_cast<double>(sorted.size() - 1);
  auto const below = static_cast<std::size_t>(position);
  auto const above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double Interval::relative_half_width() const {
  double const half_width = std::max(high - median, median - low);
  if (half_width == 0) return 0;
  if (median == 0) return std::numeric_limits<double>::infinity();
  return half_width / std::abs(median);
}

Interval Interval::no_narrower_than(double relative) const {
  Interval wide = *this;
  wide.low = std::min(low, median * std::max(0.0, 1 - relative));
  wide.high = std::max(high, median * (1 + relative));
  return wide;
}

Ranks median_ranks(int n, double confidence) {
  if (n < 1) throw std::invalid_argument("median_ranks: no values");
  double coverage = 1 - std::ldexp(2, -n);  // all but the probabilities of 0 and of n
  Ranks ranks{1, n, coverage};
  double log_probability = -n * std::log(2.0);  // of 0; then of 1, 2, ...
  // Each step inwards gives up the two outermost of the probabilities that are still in the sum.
  while (ranks.high - ranks.low > 2) {
    log_probability += std::log((n - ranks.low + 1.0) / ranks.low);
    double const narrower = coverage - 2 * std::exp(log_probability);
    if (narrower < confidence) break;
    coverage = narrower;
    ranks = {ranks.low + 1, ranks.high - 1, coverage};
  }
  return ranks;
}

Interval median_interval(std::span<double const> values, double confidence) {
  auto const ordered = sorted(values);
  int const n = static_cast<int>(ordered.size());
  Ranks const ranks = median_ranks(n, confidence);
  return {.median = quantile(ordered, 0.5),
          .low = ordered[static_cast<std::size_t>(ranks.low - 1)],
          .high = ordered[static_cast<std::size_t>(ranks.high - 1)],
          .coverage = ranks.coverage,
          .n = n,
          .confidence = confidence};
}

int count_outliers(std::span<double const> values) {
  if (values.empty()) return 0;
  auto const ordered = sorted(values);
  double const q1 = quantile(ordered, 0.25);
  double const q3 = quantile(ordered, 0.75);
  double const reach = 1.5 * (q3 - q1);
  return static_cast<int>(std::count_if(ordered.begin(), ordered.end(),
                                        [&](double v) { return v < q1 - reach || v > q3 + reach; }));
}

double mean(std::span<double const> values) {
  if (values.empty()) throw std::invalid_argument("mean of no values");
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::optional<double> standard_deviation(std::span<double const> values) {
  if (values.size() < 2) return std::nullopt;
  double const centre = mean(values);
  double squares = 0;
  for (double const v : values) squares += (v - centre) * (v - centre);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace tally
