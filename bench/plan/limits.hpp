// Whether this machine has what a plan needs.
#pragma once

#include "bench/machine/system_limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {

/// Memory that the cell takes at its number of events, in bytes: the events, a row of counts per window for
/// every worker, for the result and for the reference, and what its threads or processes cost the machine;
/// with another build beside this one, the former twice. Text keys are not known before, and not in it.
double memory_needed_bytes(Cell const& cell, RunOptions const& options);

/// Throws UsageError for the first cell of `plan` that does not fit into `limits`, in one line that names the
/// cell, what it needs, the limit, and what to do.
void check_limits(Plan const& plan, RunOptions const& options, SystemLimits const& limits);

/// Refuses what this machine's limits do not allow: open files, processes, threads, memory. Raises the soft
/// limit of open files as far as it goes. Cells whose number of events is not known yet are checked for all
/// but the events, which are then chosen to fit. Throws UsageError naming the limit, its value, and the value
/// needed.
void check_limits(Plan const& plan, RunOptions const& options);

}  // namespace tally
