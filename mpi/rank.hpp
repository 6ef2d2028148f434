// One rank of an MPI job: its part of every stream, and of every sample.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/cell_runner.hpp"
#include "bench/options.hpp"
#include "bench/service_process.hpp"
#include "bench/team.hpp"
#include "mpi/common_start.hpp"
#include "mpi/communicator.hpp"
#include "mpi/rank_streams.hpp"
#include "mpi/rank_watch.hpp"

namespace tally {

/// How the job was launched, as every rank finds it.
struct Job {
  std::vector<std::string> hosts;  ///< of every rank, by rank
  std::vector<int> cpus;           ///< of this rank: its share of those that MPI's launcher gave it
  bool shares_cpus = false;        ///< of any rank: with another rank, since there are fewer CPUs than ranks
  int least_cpus = 1;              ///< that any rank has
};

/// Finds out, and lets this process run on its share alone. Ranks of one host that may use the same CPUs,
/// as without binding, each get some of them; where those are fewer than ranks, they share. Collective.
Job join_job(Communicator const& world, Patience const& patience);

/// How a cell's reference was checked against the sequential count.
struct ReferenceCheck {
  std::uint64_t one_in = 1;  ///< of the stream: 1: all of it
  double parallel_s = 0;     ///< how long the slowest rank took for its part
  double sequential_s = 0;
};

/// What all ranks do together: every function is collective over the first ranks that the cell has, and does
/// nothing on those after them. What rank 0 returns stands for all; other ranks' is empty.
class Rank {
 public:
  /// `watch`: of the process that ends this one when it hangs; null if there is none. Starts a lookup service
  /// beside this rank if the plan asks for one. All must outlive it.
  Rank(RunOptions const& options, Plan const& plan, Job const& job, Communicator const& world,
       StopSignals const& stop, RankWatch* watch);
  ~Rank();

  /// As Team has it; RankFailed where a rank cannot.
  Team::Prepared prepare(Cell const& cell, double links_per_ns);
  /// As Team has it, but that a rank that does not come in time is PeersLate.
  CellSample sample(Cell const& cell);

  /// How the references were checked, by cell.
  std::map<std::string, ReferenceCheck> const& checks() const noexcept { return checks_; }
  /// Within which a sample must be done, on every rank.
  std::chrono::nanoseconds sample_timeout() const noexcept;

 private:
  struct Workload;
  struct OwnRun;
  class Deadline;

  Communicator const& group_of(Cell const& cell) const;
  std::vector<std::string> hosts_of(Cell const& cell) const;
  Workload& workload(Cell const& cell);
  /// Runs the model over this rank's part, from the common start on.
  OwnRun run(Cell const& cell, Workload const& workload, Communicator const& ranks, Patience const& patience,
             Deadline& deadline);
  Setup setup_of(Cell const& cell) const;
  LookupTarget start_service(Plan const& plan);
  void check_reference(Cell const& cell, Workload& made, std::uint64_t events, double links_per_ns,
                       double parallel_s, Communicator const& ranks, Patience const& patience);

  RunOptions const& options_;
  Job const& job_;
  Communicator const& world_;
  StopSignals const& stop_;
  RankWatch* watch_;
  std::unique_ptr<ServiceProcess> service_;
  std::map<int, Communicator> groups_;  // by number of ranks
  RankStreams streams_;
  std::map<std::string, std::shared_ptr<Workload>> workloads_;  // by what makes them differ
  std::map<std::string, ReferenceCheck> checks_;
};

}  // namespace tally
