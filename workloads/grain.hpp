// The grain: CPU time that one event needs, as a dependent chain of integer mixing.
#pragma once

#include <chrono>
#include <cstdint>

namespace tally {

/// How much work one event is. `iterations` of the chain take `duration` on this machine, as calibrated.
struct Grain {
  std::chrono::nanoseconds duration{0};
  std::uint64_t iterations = 0;
};

/// Runs the chain of `iterations` links for `event` and returns its result, which goes into the tally's
/// checksum: each link needs the one before it, so neither the compiler nor the processor can skip or overlap
/// links of one event. 0 iterations cost nothing and give 0.
std::uint64_t grind(std::uint64_t event, std::uint64_t iterations) noexcept;

/// The grain that takes `duration` at `links_per_ns`, as calibrated on this machine; at least one link for
/// any duration above 0.
Grain make_grain(std::chrono::nanoseconds duration, double links_per_ns);

}  // namespace tally
