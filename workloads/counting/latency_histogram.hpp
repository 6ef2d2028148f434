// Latencies, to three significant digits, in memory of a fixed size that processes can share.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tally {

/// A histogram in the layout of HdrHistogram (Tene, hdrhistogram.org): values of 1 ns and more in buckets
/// that double, each cut into kHalf equal parts (the first bucket into twice as many), so that no part is
/// wider than a thousandth of the values in it. Plain memory of one size, zeroed when empty: it may lie in
/// pages that processes share, or be copied as bytes. One thread writes at a time; who reads meanwhile sees
/// to that himself.
class LatencyHistogram {
 public:
  /// Parts of each bucket but the first: 2 * kHalf > 10^3 * 1.
  static constexpr std::uint64_t kHalf = 1024;
  static constexpr int kBuckets = 27;
  static constexpr std::size_t kParts = (kBuckets + 1) * kHalf;
  /// The greatest value that has a part of its own, some 137 s. Greater ones count as this one.
  static constexpr std::uint64_t kMost_ns = (2 * kHalf << (kBuckets - 1)) - 1;

  /// Counts `latency`, one below 0 as 0.
  void record(std::chrono::nanoseconds latency, std::uint64_t times = 1) noexcept {
    std::uint64_t ns = latency.count() < 0 ? 0 : static_cast<std::uint64_t>(latency.count());
    if (ns > kMost_ns) ns = kMost_ns;
    counts_[part_of(ns)] += times;
    total_ += times;
    if (ns > greatest_ns_) greatest_ns_ = ns;
  }
  /// Adds what `other` counted.
  void merge(LatencyHistogram const& other) noexcept;
  /// What this counted since it was as `before`, of which it is the continuation. The greatest is that of a
  /// part's end.
  LatencyHistogram since(LatencyHistogram const& before) const;

  std::uint64_t total() const noexcept { return total_; }
  /// The greatest latency counted, as it was; 0 if none.
  std::chrono::nanoseconds greatest() const noexcept {
    return std::chrono::nanoseconds(static_cast<std::int64_t>(greatest_ns_));
  }
  /// The least value that at least `percent` (0 to 100) of the latencies do not exceed, as the end of its
  /// part, and so never too low. 0 if none were counted.
  std::chrono::nanoseconds at_percentile(double percent) const noexcept;
  /// How many latencies are certain to exceed `least`: those in parts that begin above it.
  std::uint64_t above(std::chrono::nanoseconds least) const noexcept;
  /// Mean and standard deviation, of the parts' middles, in ns.
  double mean_ns() const noexcept;
  double standard_deviation_ns() const noexcept;

  /// The percentiles as HdrHistogram's outputPercentileDistribution() writes them, 5 to each halving of the
  /// distance to 100%, values in milliseconds: what its plotters read.
  std::string percentile_text() const;

  /// The number of times that part `part` (below kParts) was counted, its least and its greatest value.
  std::uint64_t count(std::size_t part) const noexcept { return counts_[part]; }
  static std::uint64_t least_ns(std::size_t part) noexcept;
  static std::uint64_t greatest_ns(std::size_t part) noexcept;

 private:
  static constexpr std::size_t part_of(std::uint64_t ns) noexcept {
    // The bucket: how often kHalf * 2 fits, by powers of two.
    int const bucket = 53 - __builtin_clzll(ns | (2 * kHalf - 1));
    return static_cast<std::size_t>(bucket) * kHalf + (ns >> bucket);
  }

  std::uint64_t total_;
  std::uint64_t greatest_ns_;
  std::uint64_t counts_[kParts];
};

}  // namespace tally
