// `tally-mpi merge`: what merging costs, apart from any counting.
#pragma once

#include "bench/commands/commands.hpp"
#include "mpi/rank_watch.hpp"

namespace tally {

/// Merges tallies of given sizes over the ranks of an MPI job, which must be initialized, and the same
/// tallies in one process, in turn; prints a table at rank 0, and writes a result file. Returns the exit
/// status there, and 0 elsewhere. Throws UsageError; on a rank that is lost, ends the job.
int merge_command(Arguments const& arguments, RankWatch& watch);

}  // namespace tally
