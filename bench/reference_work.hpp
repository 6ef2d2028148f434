// The noise floor: what a fixed computation that involves no model does on this machine, again and again.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "bench/statistics.hpp"
#include "bench/stop_signals.hpp"

namespace tally {

/// How much the computation does. The same on every machine; tests that measure nothing do less.
struct ReferenceWork {
  /// Links of the grain's chain (workloads/grain.hpp) on each of some CPUs at once, some 70 ms. They touch no
  /// memory and make no system call, so that whatever their times differ by is the machine's doing: clocks,
  /// neighbours, interrupts.
  std::uint64_t links = 50'000'000;
  /// After them, each of the CPUs reads this much memory of its own, twice, from end to end, all at once:
  /// more than their caches hold, but for a last one that many share.
  std::size_t read_bytes = std::size_t{64} << 20;
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
  double links_per_ns = 0;            ///< of one CPU, on average over them
  double read_bytes_per_s = 0;        ///< all CPUs together; 0 where memory was too short for it
};

/// Runs it once, in a process of its own with a thread pinned to each of `cpus` (one thread anywhere, if
/// empty). None if a stop signal came. Call single-threaded. Throws std::runtime_error if the computation
/// could not be run, std::system_error.
std::optional<ReferenceSample> run_reference(std::vector<int> const& cpus, StopSignals const& stop,
                                             ReferenceWork const& work = {});

/// The times so far, in seconds, with the interval of their median; none without samples.
std::optional<Interval> noise_floor(std::vector<ReferenceSample> const& samples);

/// The median over the rounds of the links that a CPU did in a nanosecond; none without samples.
std::optional<double> reference_links_per_ns(std::vector<ReferenceSample> const& samples);

/// The bytes that all the CPUs together read in a second, with the interval of their median over the rounds;
/// none where it was not measured. Other guests of a hypervisor share the memory's bandwidth even where the
/// CPUs are one's own: then computing is steady, and counting, which waits for memory, is not.
std::optional<Interval> reference_read_bytes_per_s(std::vector<ReferenceSample> const& samples);

/// Links of the chain per nanosecond and CPU, for grains: the median of some runs of the computation, on all
/// of `cpus` at once as the workers are, since a CPU alone has a higher clock than it keeps beside others.
/// Takes about two seconds. Throws Interrupted, and as run_reference() does.
double calibrate_links_per_ns(std::vector<int> const& cpus, StopSignals const& stop,
                              ReferenceWork const& work = {});

/// Between the least and the greatest of the times, relative to their median; 0 without samples.
double spread(std::vector<ReferenceSample> const& samples);

}  // namespace tally
