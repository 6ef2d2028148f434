// `tally-mpi run`
#pragma once

#include <span>

#include "bench/commands/commands.hpp"
#include "mpi/rank_watch.hpp"

namespace tally {

/// `tally run` in every rank of an MPI job, which must be initialized. As run_command(); on ranks but 0 the
/// status is 0 unless something went wrong there that rank 0 cannot know, and nothing is printed. Does not
/// return if a rank is lost: the job is aborted, with status 1.
int mpi_run_command(Arguments const& arguments, std::span<Model const> models, RankWatch& watch);

}  // namespace tally
