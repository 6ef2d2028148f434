// The ranks of a job as one team: rank 0 leads, the others follow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/plan/cell.hpp"
#include "bench/plan/plan.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/team.hpp"
#include "mpi/rank.hpp"

namespace tally {

/// Rank 0's: tells the others what to do, and does its own part.
class MpiTeam final : public Team {
 public:
  /// All must outlive it. `plan` is that of every rank.
  MpiTeam(Rank& rank, Job const& job, Plan const& plan, Communicator const& world, StopSignals const& stop);
  /// Tells the others that there is no more, unless a rank is lost.
  ~MpiTeam() override;

  StopSignals const& stop_signals() const noexcept override { return stop_; }
  Prepared prepare(Cell const& cell, double links_per_ns) override;
  CellSample sample(Cell const& cell) override;
  bool ranks_share_cpus() const noexcept override { return job_.shares_cpus; }
  Json describe() const override;
  std::vector<std::string> notes() const override;

  /// A rank did not come in time, or MPI failed: the job can only be aborted.
  bool lost() const noexcept { return lost_; }

 private:
  void order(std::uint32_t kind, Cell const& cell, double links_per_ns);
  /// Does that with the others; a rank that is lost becomes TeamLost.
  template <class Act>
  auto together(Act act);

  Rank& rank_;
  Job const& job_;
  Plan const& plan_;
  Communicator const& world_;
  StopSignals const& stop_;
  bool lost_ = false;
};

/// The other ranks': does what rank 0 says until it says that there is no more. Throws PeersLate,
/// Interrupted.
void follow(Rank& rank, Plan plan, Communicator const& world, StopSignals const& stop);

}  // namespace tally
