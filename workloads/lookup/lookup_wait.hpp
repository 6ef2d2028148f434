// How long the lookup service takes to answer.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

namespace tally {

enum class WaitDistribution : int { exponential, fixed, lognormal };

inline constexpr std::array<std::pair<std::string_view, WaitDistribution>, 3> kWaitDistributions{
    {{"exponential", WaitDistribution::exponential},
     {"fixed", WaitDistribution::fixed},
     {"lognormal", WaitDistribution::lognormal}}};
constexpr std::string_view name_of(WaitDistribution distribution) noexcept {
  for (auto const& [name, known] : kWaitDistributions)
    if (known == distribution) return name;
  return "unknown";
}

/// How long the service takes to answer: `mean` on average. Lognormal has sigma 1 (p99 / median about 10).
struct WaitSpec {
  std::chrono::nanoseconds mean{0};
  WaitDistribution distribution = WaitDistribution::exponential;
};

/// The wait of event `event`: depends on the seed, the event and the spec alone.
std::chrono::nanoseconds draw_wait(WaitSpec const& spec, std::uint64_t seed, std::uint64_t event) noexcept;

/// The time within which `percent` of waits are over, in mean waits. `percent` in (0, 100).
double wait_quantile(WaitDistribution distribution, double percent) noexcept;

}  // namespace tally
