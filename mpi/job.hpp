// The MPI job that a rank finds itself in.
#pragma once

#include <string>
#include <vector>

#include "mpi/communicator.hpp"
#include "mpi/rank_watch.hpp"

namespace tally {

/// How the job was launched, as every rank finds it.
struct Job {
  std::vector<std::string> hosts;  ///< of every rank, by rank
  std::vector<int> cpus;           ///< of this rank: its share of those that MPI's launcher gave it
  bool shares_cpus = false;        ///< of any rank: with another rank, since there are fewer CPUs than ranks
  int least_cpus = 1;              ///< that any rank has
  /// Those that ranks may use, by rank: equal where they are the same CPUs of the same machine. `cpus` of
  /// them.
  struct Place {
    int number = 0, cpus = 1;
  };
  std::vector<Place> places{};

  /// Of the first `ranks` ranks, how many share a CPU where most do: 1 where none does.
  double ranks_per_cpu(int ranks) const;
};

/// Finds out, tells `watch` who this rank is, and lets this process run on its share alone. Ranks of one
/// machine that may use the same CPUs, as without binding, each get some of them; where those are fewer than
/// ranks, they share. A machine is what has booted once, whatever its hosts are called: containers and
/// network namespaces share its CPUs. Collective.
Job join_job(Communicator const& world, RankWatch& watch, Patience const& patience);

}  // namespace tally
