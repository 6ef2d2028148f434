// The noise floor: what a fixed computation that involves no model does on this machine, again and again.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "bench/base/statistics.hpp"
#include "bench/process/stop_signals.hpp"

namespace tally {

/// How much the computation does. The same on every machine; tests that measure nothing do less.
struct ReferenceWork {
  /// Links of the grain's chain (workloads/counting/grain.hpp) on each of some CPUs at once, some 70 ms. They
  /// touch no memory and make no system call, so that whatever their times differ by is the machine's doing:
  /// clocks, neighbours, interrupts.
  std::uint64_t links = 50'000'000;
  /// After them, each of the CPUs reads this much memory of its own, twice, from end to end, all at once:
  /// more than their caches hold, but for a last one that many share.
  std::size_t read_bytes = std::size_t{64} << 20;
  /// Between the two, so many indices stream from the first of the CPUs to the second through a ring (see
  /// hand_off_s): as long, about, as the links take.
  std::uint64_t hand_offs() const noexcept { return links / 25; }
};
inline constexpr std::string_view kReferenceText =
    "links of the grain's chain on each of the workers' CPUs at once; the slowest counts";

/// One time that the computation ran.
struct ReferenceSample {
  int round = 0;
  int order = 0;         ///< place in the round
  double started_s = 0;  ///< since the campaign began
  std::chrono::nanoseconds elapsed{0};
  std::uint64_t ctx_involuntary = 0;  ///< how often it was put off its CPU
  double links_per_ns = 0;            ///< of one CPU's time, on average over them, all at once
  double links_per_ns_alone = 0;      ///< of the first CPU's time, the others idle
  double read_bytes_per_s = 0;        ///< all CPUs together; 0 where memory was too short for it
  /// CPU time, of both sides together, that an index takes to get from one CPU to another through a ring with
  /// one producer and one consumer, which takes it out by itself: what the cost of a task is a multiple of,
  /// since both move together from minute to minute. 0 on one CPU.
  double hand_off_s = 0;
};

/// Runs it once, in a process of its own with a thread pinned to each of `cpus` (one thread anywhere, if
/// empty). None if a stop signal came. Call single-threaded. Throws std::runtime_error if the computation
/// could not be run, std::system_error.
std::optional<ReferenceSample> run_reference(std::vector<int> const& cpus, StopSignals const& stop,
                                             ReferenceWork const& work = {});

}  // namespace tally
