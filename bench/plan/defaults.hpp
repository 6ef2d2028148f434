// What `tally` does when it is not told otherwise. Every default of the command line stands here and nowhere
// else.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace tally::defaults {

using namespace std::chrono_literals;

inline constexpr std::array<std::chrono::nanoseconds, 2> kCpuGrains{0ns, 1us};
inline constexpr std::array<std::chrono::nanoseconds, 1> kTextGrains{0ns};  ///< parsing is the work
inline constexpr std::array<std::chrono::nanoseconds, 1> kLookupGrains{0ns};
inline constexpr std::array<std::uint64_t, 1> kBatches{1};        ///< an event is a task
inline constexpr std::array<std::uint64_t, 1> kTextBatches{256};  ///< and a line is little for one
inline constexpr std::array<std::chrono::nanoseconds, 1> kWaits{1ms};
inline constexpr std::array<int, 2> kInFlights{10, 100};

inline constexpr std::array<int, 1> kConnections{100};
inline constexpr std::array<double, 1> kRates_per_s{0};  ///< as many as are taken
inline constexpr std::chrono::nanoseconds kCoalesce = 20us;
inline constexpr std::chrono::nanoseconds kRatedSampleLength =
    1s;  ///< of a sample at a rate, by its schedule

inline constexpr std::uint32_t kKeys = 1000;
inline constexpr std::uint64_t kSeed = 1;
inline constexpr std::uint64_t kOrderSeed = 1;

inline constexpr int kMinRounds = 10;
inline constexpr int kMaxRounds = 40;
inline constexpr double kCi = 0.03;
inline constexpr std::chrono::nanoseconds kTimeBudget = 75s;
// With --against: half-width of the ratio's interval; each round has two samples of every cell, and a
// difference of some percent is looked for in noise as wide.
inline constexpr double kAgainstCi = 0.02;
inline constexpr int kAgainstMaxRounds = 80;
inline constexpr std::chrono::nanoseconds kAgainstTimeBudget = 180s;
inline constexpr std::chrono::nanoseconds kSampleTimeout = 30s;
inline constexpr std::chrono::nanoseconds kSampleLength = 200ms;

/// Of a sample of lookups, the end at which nothing is done but to wait for the last is at most such a part.
inline constexpr double kMostDraining = 0.05;
inline constexpr double kMapMostDraining = 0.1;  ///< where what remains is taken off (DrawnWaits)

inline constexpr char const* kServeModel = "event_loop";
inline constexpr std::chrono::nanoseconds kServeWindow = 60s;
inline constexpr std::chrono::nanoseconds kServeGrace = 1s;

inline constexpr std::uint64_t kCountBatch = 4096;  ///< lines per task of `tally count`
inline constexpr std::chrono::nanoseconds kServiceWait = 1ms;

}  // namespace tally::defaults
