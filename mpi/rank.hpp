// One rank of an MPI job: its part of every stream, and of every sample.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/services/service_process.hpp"
#include "mpi/common_start.hpp"
#include "mpi/communicator.hpp"
#include "mpi/job.hpp"
#include "mpi/rank_deadline.hpp"
#include "mpi/rank_streams.hpp"
#include "mpi/rank_watch.hpp"
#include "mpi/reference_check.hpp"

namespace tally {

/// What all ranks do together: every function is collective over the first ranks that the cell has, and does
/// nothing on those after them. What rank 0 returns stands for all; other ranks' is empty.
class Rank {
 public:
  /// `watch`: of the process that ends this one when it hangs; null if there is none. Starts a lookup service
  /// beside this rank if the plan asks for one. All must outlive it.
  Rank(RunOptions const& options, Plan const& plan, Job const& job, Communicator const& world,
       StopSignals const& stop, RankWatch* watch);
  ~Rank();

  /// What is known of a cell once its streams are made.
  struct Prepared {
    std::uint64_t events = 0;       ///< of all ranks together
    std::uint64_t input_bytes = 0;  ///< of a file
  };
  /// Makes every rank's part of the cell's stream, with the cell's number of events, and the reference.
  /// `links_per_ns` as LocalSampler::set_links_per_ns() has it. Throws PeersLate, Interrupted, and RankFailed
  /// where a rank cannot.
  Prepared prepare(Cell const& cell, double links_per_ns);
  /// One sample, merged and verified. What a rank's model does wrong is the sample's failure. Throws
  /// PeersLate where a rank does not come in time, Interrupted.
  CellSample sample(Cell const& cell);

  /// How the references were checked, by cell.
  std::map<std::string, ReferenceCheck> const& checks() const noexcept { return checks_; }
  /// There are lookup services, and they have no CPU of their own.
  bool service_shares_cpus() const noexcept { return service_shares_cpus_; }

 private:
  struct Workload;
  struct OwnRun;

  Communicator const& group_of(Cell const& cell) const;
  /// How long making a stream and its reference may take.
  std::chrono::nanoseconds prepare_within() const;
  /// That its synthetic stream has.
  std::uint64_t windows_of(Cell const& cell) const;
  Workload& workload(Cell const& cell);
  /// Runs the model over this rank's part, from the common start on.
  OwnRun run(Cell const& cell, Workload const& workload, Communicator const& ranks, CommonStart const& common,
             Patience const& patience, RankDeadline& deadline);
  LookupTarget start_service(Plan const& plan);
  void check_reference(Cell const& cell, Workload& made, std::uint64_t events, double links_per_ns,
                       double parallel_s, Communicator const& ranks, Patience const& patience);

  RunOptions const& options_;
  Job const& job_;
  Communicator const& world_;
  StopSignals const& stop_;
  RankWatch* watch_;
  std::unique_ptr<ServiceProcess> service_;
  bool service_shares_cpus_ = false;
  std::map<int, Communicator> groups_;  // by number of ranks
  RankStreams streams_;
  std::map<std::string, std::shared_ptr<Workload>> workloads_;  // by what makes them differ
  std::map<std::string, ReferenceCheck> checks_;
};

}  // namespace tally
