// The grain: CPU time that one event needs, as a dependent chain of integer mixing.
#pragma once

#include <chrono>
#include <cstdint>

#include "workloads/base/random.hpp"

namespace tally {

/// How much work one event is. `iterations` of the chain take `duration` on this machine, as calibrated.
struct Grain {
  std::chrono::nanoseconds duration{0};
  std::uint64_t iterations = 0;
};

/// Does the work of events, one after the other: for each the chain of `iterations` links, whose result goes
/// into the tally's checksum. Each link needs the one before it, and the first of an event the last of the
/// event before: neither the compiler nor the processor can skip links or overlap them, and events that a
/// worker counts one after the other take as long as so many grains, also where each is a task. (A chain by
/// itself for each event takes half of 30 ns: two of them fit in the core at once.) The result depends on the
/// event alone.
class Grinder {
 public:
  /// `chain` is where the worker's last chain ended, whatever it was before the first; it is brought up to
  /// date when this goes.
  Grinder(std::uint64_t iterations, std::uint64_t& chain) noexcept
      : iterations_(iterations), chain_(chain), last_(chain) {
    asm("" : "+r"(nothing_));
  }
  ~Grinder() { chain_ = last_; }
  Grinder(Grinder const&) = delete;
  Grinder& operator=(Grinder const&) = delete;
  /// The result for `event`. 0 iterations cost nothing and give 0.
  std::uint64_t operator()(std::uint64_t event) noexcept {
    if (iterations_ == 0) return 0;
    return last_ = links(mix64(event + 1) ^ (last_ & nothing_), iterations_);
  }

 private:
  static std::uint64_t links(std::uint64_t x, std::uint64_t iterations) noexcept {
    for (std::uint64_t i = 0; i < iterations; ++i) x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
    return x;
  }
  std::uint64_t iterations_;
  std::uint64_t& chain_;
  std::uint64_t last_;
  std::uint64_t nothing_ = 0;  // which the compiler does not know
};

/// The work of one event by itself.
std::uint64_t grind(std::uint64_t event, std::uint64_t iterations) noexcept;

/// From one event's chain to the next it takes as long as such a part of a link: two operations of three and
/// a half cycles, where a link has five (measured on an Intel Xeon, for chains of 1 to 600 links: 0.69 to
/// 0.77).
inline constexpr double kLinksBetweenEvents = 0.7;

/// The grain whose chain, and what lies between it and the next, take `duration` at `links_per_ns`, as
/// calibrated on this machine; at least one link for any duration above 0.
Grain make_grain(std::chrono::nanoseconds duration, double links_per_ns);

/// How long an event of that grain takes where a CPU does `links_per_ns`, in nanoseconds.
double event_ns(Grain const& grain, double links_per_ns) noexcept;

}  // namespace tally
