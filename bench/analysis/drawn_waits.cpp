#include "bench/analysis/drawn_waits.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <queue>
#include <vector>

namespace tally {
namespace {

/// Steps until the throughput in the long run is known: each sets right what the one before assumed.
constexpr int kSteps = 20;
/// A sample says nothing of the long run of which more than this is the end.
constexpr double kMostAdded = 2.0 / 3;
/// Euler's constant: by so many means the expected longest of many exponential waits is beyond the logarithm
/// of their number.
constexpr double kEuler = 0.5772;

}  // namespace

DrawnWaits::DrawnWaits(WaitSpec const& wait, std::uint64_t seed, std::uint64_t events, int in_flight)
    : events_(static_cast<double>(events)),
      in_flight_(in_flight),
      mean_s_(std::chrono::duration<double>(wait.mean).count()) {
  // Whoever is free first waits next: when each of those in flight ends, soonest first.
  std::priority_queue<double, std::vector<double>, std::greater<>> ends;
  double sum_s = 0, last_s = 0;
  for (std::uint64_t event = 0; event < events; ++event) {
    double const wait_s = std::chrono::duration<double>(draw_wait(wait, seed, event)).count();
    double begin_s = 0;
    if (ends.size() >= static_cast<std::size_t>(in_flight)) {
      begin_s = ends.top();
      ends.pop();
    }
    ends.push(begin_s + wait_s);
    last_s = std::max(last_s, begin_s + wait_s);
    sum_s += wait_s;
  }
  luck_s_ = (sum_s - events_ * mean_s_) / in_flight_;
  drain_s_ = last_s - sum_s / in_flight_;
}

double DrawnWaits::added_s(double items_per_second) const noexcept {
  // Little's law: of those in flight, so many wait, and the others queue for a CPU.
  double const round_s = in_flight_ / items_per_second;
  double const waiting = std::min(1.0, mean_s_ / round_s);
  double const queued_s = std::max(0.0, round_s - mean_s_);
  return waiting * luck_s_ + std::max(0.0, drain_s_ - queued_s);
}

double DrawnWaits::in_long_run(double items_per_second) const noexcept {
  double const took_s = events_ / items_per_second;
  double rate = items_per_second;
  for (int step = 0; step < kSteps; ++step)
    rate = events_ / (took_s - std::min(added_s(rate), kMostAdded * took_s));
  return rate;
}

double drain_in_waits(WaitDistribution distribution, double waiting) {
  if (waiting <= 1 || distribution == WaitDistribution::fixed) return 0;
  return std::max(0.0, wait_quantile(distribution, 100 * (1 - 1 / waiting)) + kEuler - 1);
}

}  // namespace tally
