// The process that a launcher starts, which watches over the rank.
#pragma once

#include <functional>
#include <string>

#include "mpi/rank_watch.hpp"

namespace tally {

/// Forks a process that runs `rank` and exits with its result, and waits for its end. MPI must not be
/// initialized yet, here or ever: the child does that, and the launcher sees one process where it started
/// one.
///
/// A rank that is past its deadline is killed. One that is killed, by this or anybody, is named in one line
/// on standard error, and the result is 1: launchers would say so of a process number, with an exit status of
/// their own. Signals to end go to the rank. No process of the rank's is left.
int supervise(std::function<int(RankWatch&)> const& rank);

/// This process's number in the job, as the launcher's environment has it before MPI is initialized; empty
/// without a launcher.
std::string rank_by_launcher();

}  // namespace tally
