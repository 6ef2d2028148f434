// Whether this machine is fit to measure on, and what to do where it is not.
#pragma once

#include <string>
#include <vector>

#include "bench/machine/machine.hpp"
#include "bench/machine/reference_work.hpp"
#include "bench/machine/stalls.hpp"
#include "bench/machine/wake_ups.hpp"

namespace tally {

/// One thing looked at.
struct Finding {
  enum class Verdict {
    good,
    note,   ///< a reader of results must know it; measuring is possible
    unfit,  ///< at the wanted interval there is no measuring
  };
  Verdict verdict = Verdict::good;
  std::string what;    ///< `noise floor`
  std::string found;   ///< what there is, with its figure
  std::string remedy;  ///< what to do; empty if nothing is to be done
};

/// What was looked at, as the judging needs it.
struct Examination {
  std::vector<ReferenceSample> reference;
  Stalls stalls;
  WakeUps halting, polling;         ///< of CPUs that halt, and of such that poll (--idle); none with one CPU
  double steal_share = 0;           ///< of the CPU time that there was, meanwhile
  double busy_share = 0;            ///< of all CPUs, before this program computed anything
  std::vector<double> load;         ///< averages over 1, 5 and 15 minutes before
  std::vector<BusyProcess> others;  ///< meanwhile, the busiest first
  int cpus = 1;                     ///< that this process may use
  std::string governor, virtualisation, huge_pages;
};

/// Looks for about two seconds and `rounds` tenths of one, with a pause before each time that the reference
/// computation runs, as in a campaign. Changes nothing on the machine. Throws Interrupted,
/// std::runtime_error.
Examination examine(int rounds, StopSignals const& stop);

/// The half-width, relative to the median, that the interval of the median of such values would have after
/// `rounds` rounds of a campaign: that of order statistics, at the quantiles of all the values there are, of
/// which there is at least one.
double half_width_after(std::vector<double> values, int rounds);

/// half_width_after() of the reference computation's times. `reference` must not be empty.
double floor_after(std::vector<ReferenceSample> const& reference, int rounds);

/// What to say of it where intervals within `ci` are wanted after `rounds` rounds.
std::vector<Finding> diagnose(Examination const& examination, double ci, int rounds);

}  // namespace tally
