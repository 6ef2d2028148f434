// Durations, and the time of the steady clock, as numbers.
#pragma once

#include <chrono>
#include <cstdint>

namespace tally {

template <class Rep, class Period>
constexpr double in_seconds(std::chrono::duration<Rep, Period> duration) noexcept {
  return std::chrono::duration<double>(duration).count();
}

/// Nanoseconds of the steady clock, which all processes of a machine share.
inline std::int64_t steady_ns() noexcept {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

}  // namespace tally
