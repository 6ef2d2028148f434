// What the commands of tally-mpi have in common: how ranks become a job, and how a job ends.
#pragma once

#include <chrono>
#include <functional>

#include "bench/commands/commands.hpp"
#include "bench/process/stop_signals.hpp"
#include "mpi/communicator.hpp"
#include "mpi/job.hpp"
#include "mpi/rank_watch.hpp"

namespace tally {

/// A rank among others.
struct InJob {
  Communicator const& world;
  Job const& job;
  StopSignals const& stop;
  bool leads;  ///< rank 0, who speaks for all
  Patience joining;
};

/// Exit status of a rank that others must not wait for: all are aborted with it.
struct JobEnds {
  int status;
};

/// Joins all ranks, of whom each must be the same program with the same arguments, and does `act` on each.
/// Returns the exit status: what `act` returns, or 2 for UsageError and for a rank that refuses for such a
/// reason, 1 for another. Where ranks cannot go on (PeersLate, Interrupted, JobEnds) it aborts the job, so
/// that nobody waits for ever. What is wrong, rank 0 says, in one line.
int in_job(Arguments const& arguments, RankWatch& watch, std::function<int(InJob const&)> const& act);

}  // namespace tally
