// Figures of the reference work: the noise floor, and the speeds that bounds are computed with.
#pragma once

#include <optional>
#include <vector>

#include "bench/base/statistics.hpp"
#include "bench/machine/reference_work.hpp"

namespace tally {

/// The times so far, in seconds, with the interval of their median; none without samples.
std::optional<Interval> noise_floor(std::vector<ReferenceSample> const& samples);

/// The median over the rounds of the links that a CPU did in a nanosecond, all at once or alone, as `rate`
/// says; none without samples.
std::optional<double> reference_links_per_ns(std::vector<ReferenceSample> const& samples,
                                             double ReferenceSample::*rate);

/// The bytes that all the CPUs together read in a second, with the interval of their median over the rounds;
/// none where it was not measured. Other guests of a hypervisor share the memory's bandwidth even where the
/// CPUs are one's own: then computing is steady, and counting, which waits for memory, is not.
std::optional<Interval> reference_read_bytes_per_s(std::vector<ReferenceSample> const& samples);

/// The CPU time that handing an index from one CPU to another takes, in seconds, with the interval of its
/// median over the rounds; none on one CPU.
std::optional<Interval> reference_hand_off_s(std::vector<ReferenceSample> const& samples);

/// Between the least and the greatest of the times, relative to their median; 0 without samples.
double spread(std::vector<ReferenceSample> const& samples);

/// Links of the chain per nanosecond of CPU time, for grains: the median of some runs of the computation on a
/// CPU that is alone. What a link takes beside others (a lower clock, a core that is shared) makes no other
/// grain; it is in the bound. Takes about two seconds. Throws Interrupted, and as run_reference() does.
double calibrate_links_per_ns(std::vector<int> const& cpus, StopSignals const& stop,
                              ReferenceWork const& work = {});

}  // namespace tally
