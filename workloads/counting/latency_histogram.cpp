#include "workloads/counting/latency_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace tally {
namespace {

constexpr double kNsPerMs = 1e6;

/// What printf would write.
template <class... Values>
std::string formatted(char const* format, Values... values) {
  char text[160];
  int const length = std::snprintf(text, sizeof text, format, values...);
  return {text, static_cast<std::size_t>(std::clamp(length, 0, static_cast<int>(sizeof text) - 1))};
}

double in_ms(std::uint64_t ns) { return static_cast<double>(ns) / kNsPerMs; }

}  // namespace

std::uint64_t LatencyHistogram::least_ns(std::size_t part) noexcept {
  if (part < 2 * kHalf) return part;
  std::size_t const bucket = part / kHalf - 1;
  return static_cast<std::uint64_t>(part - bucket * kHalf) << bucket;
}

std::uint64_t LatencyHistogram::greatest_ns(std::size_t part) noexcept {
  std::size_t const bucket = part < 2 * kHalf ? 0 : part / kHalf - 1;
  return least_ns(part) + (std::uint64_t{1} << bucket) - 1;
}

void LatencyHistogram::merge(LatencyHistogram const& other) noexcept {
  for (std::size_t i = 0; i < kParts; ++i) counts_[i] += other.counts_[i];
  total_ += other.total_;
  greatest_ns_ = std::max(greatest_ns_, other.greatest_ns_);
}

LatencyHistogram LatencyHistogram::since(LatencyHistogram const& before) const {
  LatencyHistogram change{};
  for (std::size_t i = 0; i < kParts; ++i) {
    std::uint64_t const n = counts_[i] - before.counts_[i];
    if (n == 0) continue;
    change.counts_[i] = n;
    change.total_ += n;
    change.greatest_ns_ = std::min(greatest_ns(i), greatest_ns_);
  }
  return change;
}

std::chrono::nanoseconds LatencyHistogram::at_percentile(double percent) const noexcept {
  if (total_ == 0) return {};
  double const share = std::clamp(percent, 0.0, 100.0) / 100;
  // Rounded up, but for what arithmetic added: 99% of 100 are 99.
  auto const rank = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(total_) - 1e-6)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kParts; ++i) {
    seen += counts_[i];
    if (seen >= rank)
      return std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(greatest_ns(i), greatest_ns_)));
  }
  return greatest();
}

std::uint64_t LatencyHistogram::above(std::chrono::nanoseconds least) const noexcept {
  std::uint64_t n = 0;
  for (std::size_t i = kParts; i-- > 0;) {
    if (static_cast<std::int64_t>(least_ns(i)) <= least.count()) break;
    n += counts_[i];
  }
  return n;
}

double LatencyHistogram::mean_ns() const noexcept {
  if (total_ == 0) return 0;
  double sum = 0;
  for (std::size_t i = 0; i < kParts; ++i)
    if (counts_[i] != 0)
      sum += static_cast<double>(counts_[i]) * static_cast<double>(least_ns(i) + greatest_ns(i) + 1) / 2;
  return sum / static_cast<double>(total_);
}

double LatencyHistogram::standard_deviation_ns() const noexcept {
  if (total_ == 0) return 0;
  double const mean = mean_ns();
  double sum = 0;
  for (std::size_t i = 0; i < kParts; ++i) {
    if (counts_[i] == 0) continue;
    double const off = static_cast<double>(least_ns(i) + greatest_ns(i) + 1) / 2 - mean;
    sum += static_cast<double>(counts_[i]) * off * off;
  }
  return std::sqrt(sum / static_cast<double>(total_));
}

std::string LatencyHistogram::percentile_text() const {
  // Steps to each halving of the distance to 100%.
  constexpr double kTicks = 5;
  std::string text =
      formatted("%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
  auto const total = static_cast<double>(total_);
  double level = 0;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kParts && seen < total_; ++i) {
    if (counts_[i] == 0) continue;
    seen += counts_[i];
    while (100 * static_cast<double>(seen) / total >= level) {
      text += formatted("%12.6f %2.12f %10llu %14.2f\n", in_ms(std::min(greatest_ns(i), greatest_ns_)),
                        level / 100, static_cast<unsigned long long>(seen), 1 / (1 - level / 100));
      double const halvings = std::floor(std::log2(100 / (100 - level))) + 1;
      level += 100 / (kTicks * std::exp2(halvings));
      if (seen == total_) break;  // all that follow would say the same
    }
  }
  if (total_ > 0)
    text += formatted("%12.6f %2.12f %10llu\n", in_ms(greatest_ns_), 1.0,
                      static_cast<unsigned long long>(total_));
  text += formatted("#[Mean    = %12.6f, StdDeviation   = %12.6f]\n", mean_ns() / kNsPerMs,
                    standard_deviation_ns() / kNsPerMs);
  text += formatted("#[Max     = %12.6f, Total count    = %12llu]\n", in_ms(greatest_ns_),
                    static_cast<unsigned long long>(total_));
  text += formatted("#[Buckets = %12d, SubBuckets     = %12llu]\n", kBuckets,
                    static_cast<unsigned long long>(2 * kHalf));
  return text;
}

}  // namespace tally
