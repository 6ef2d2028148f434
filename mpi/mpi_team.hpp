// The ranks of a job as one team: rank 0 leads, the others follow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/plan/cell.hpp"
#include "bench/plan/plan.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/local_sampler.hpp"
#include "bench/sampling/sampler.hpp"
#include "mpi/rank.hpp"

namespace tally {

/// Rank 0's: tells the others what to do, and does its own part.
class MpiTeam final : public Sampler {
 public:
  /// All must outlive it. `plan` is that of every rank.
  MpiTeam(RunOptions const& options, Rank& rank, Job const& job, Plan const& plan, Communicator const& world,
          StopSignals const& stop, Progress& progress);
  /// Tells the others that there is no more, unless a rank is lost.
  ~MpiTeam() override;

  LocalSampler& local() noexcept override { return local_; }
  /// `events` for each rank. With --scaling strong the total is that of the greatest number of ranks, so that
  /// every number of ranks counts the same events.
  std::uint64_t events_of(Cell const& cell, std::uint64_t events) const override;
  /// Throws RankFailed too.
  std::vector<PreparedCell> prepare(std::vector<Cell> const& cells) override;
  std::uint64_t input_bytes() const override { return input_bytes_; }
  CellSample sample(Cell const& cell) override;
  bool shares_cpus() const noexcept override { return job_.shares_cpus; }
  Json describe() const override;
  std::vector<std::string> notes() const override;

  /// A rank did not come in time, or MPI failed: the job can only be aborted.
  bool lost() const noexcept { return lost_; }

 private:
  void order(std::uint32_t kind, Cell const& cell, double links_per_ns);
  /// Does that with the others; a rank that is lost becomes SamplerLost.
  template <class Act>
  auto together(Act act);

  RunOptions const& options_;
  Rank& rank_;
  Job const& job_;
  Plan const& plan_;
  Communicator const& world_;
  StopSignals const& stop_;
  Progress& progress_;
  RunOptions const pilot_options_;
  LocalSampler local_;
  std::uint64_t input_bytes_ = 0;
  bool lost_ = false;
};

/// The other ranks': does what rank 0 says until it says that there is no more. Throws PeersLate,
/// Interrupted.
void follow(Rank& rank, Plan plan, Communicator const& world, StopSignals const& stop);

}  // namespace tally
