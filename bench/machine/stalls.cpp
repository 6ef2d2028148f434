#include "bench/machine/stalls.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <thread>

#include "bench/process/forked_process.hpp"

namespace tally {

std::chrono::nanoseconds Stalls::longest() const {
  return gaps.empty() ? std::chrono::nanoseconds{0} : *std::max_element(gaps.begin(), gaps.end());
}

std::chrono::nanoseconds Stalls::lateness(double q) const {
  // In a gap of g, moments that are seen more than x late are g - x long. So the share of such moments is the
  // sum of g - x over the gaps that are longer than x, over all time; it falls as x grows.
  std::vector<std::chrono::nanoseconds> longest_first = gaps;
  std::sort(longest_first.begin(), longest_first.end(), std::greater<>());
  double const later_ns = (1 - q) * static_cast<double>(looked.count());
  double sum_ns = 0;
  for (std::size_t n = 1; n <= longest_first.size(); ++n) {
    sum_ns += static_cast<double>(longest_first[n - 1].count());
    double const late_ns = (sum_ns - later_ns) / static_cast<double>(n);
    double const next_ns = n < longest_first.size() ? static_cast<double>(longest_first[n].count()) : 0;
    if (late_ns >= next_ns) return std::chrono::nanoseconds(std::llround(late_ns));
  }
  return std::chrono::nanoseconds{0};
}

Stalls look_for_stalls(std::vector<int> const& cpus, std::chrono::nanoseconds span, StopSignals const& stop) {
  using Clock = std::chrono::steady_clock;
  std::vector<Stalls> found(cpus.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < cpus.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          pin_process({cpus[i]});
        } catch (std::exception const&) {
          // A CPU was taken from this process meanwhile: wherever it looks, it sees what there is.
        }
        auto const began = Clock::now();
        auto last = began;
        while (last - began < span && !stop.requested()) {
          auto const now = Clock::now();
          if (now - last > Stalls::kLeastGap) found[i].gaps.push_back(now - last);
          last = now;
        }
        found[i].looked = last - began;
      });
    }
  }
  Stalls all;
  for (Stalls const& each : found) {
    all.looked += each.looked;
    all.gaps.insert(all.gaps.end(), each.gaps.begin(), each.gaps.end());
  }
  return all;
}

}  // namespace tally
