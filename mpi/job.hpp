// The MPI job that a rank finds itself in.
#pragma once

#include <map>
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
  /// Where each rank is, by rank: a machine's number, and the CPUs that it may use there.
  struct Place {
    int machine = 0;
    std::vector<int> cpus;
  };
  std::vector<Place> places{};

  /// Of the first `ranks` ranks, how many there are to each CPU that they may use, on the machine where that
  /// is most; 1 where there are CPUs enough.
  double ranks_per_cpu(int ranks) const;
};

/// Finds out, tells `watch` who this rank is, and lets this process run on its share alone. Ranks of one
/// machine that may use the same CPUs, as without binding, each get some of them; where those are fewer than
/// ranks, they share. A machine is what has booted once, whatever its hosts are called: containers and
/// network namespaces share its CPUs. Collective.
Job join_job(Communicator const& world, RankWatch& watch, Patience const& patience);

/// Groups of the first so many ranks, by how many: one for each of `numbers`. A number that is not all ranks
/// makes MPI wait without end for those that do not come; rank 0's watcher ends the job then (`watch` may be
/// null: nobody does). Collective, with the same numbers everywhere.
std::map<int, Communicator> form_groups(Communicator const& world, std::vector<int> const& numbers,
                                        RankWatch* watch, StopSignals const& stop);

}  // namespace tally
