// Those who take samples of a campaign together: the ranks of an MPI job, as rank 0's campaign sees them.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/base/json.hpp"
#include "bench/plan/cell.hpp"
#include "bench/process/stop_signals.hpp"
#include "bench/sampling/cell_sample.hpp"

namespace tally {

/// A rank is lost, or does not answer, so that nothing more can be measured. what() is one line that names
/// it.
struct TeamLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Every rank holds its own part of each stream, and no more.
class Team {
 public:
  virtual ~Team() = default;

  /// What the team heeds, and so the campaign: a process has them once.
  virtual StopSignals const& stop_signals() const noexcept = 0;

  /// What is known of a cell once its streams are made.
  struct Prepared {
    std::uint64_t events = 0;       ///< of all ranks together
    std::uint64_t input_bytes = 0;  ///< of a file
  };
  /// Makes every rank's part of the cell's stream, with the cell's number of events, and the reference.
  /// `links_per_ns` as Streams::set_links_per_ns() has it. Throws TeamLost, Interrupted, and what a team has
  /// for a rank that cannot.
  virtual Prepared prepare(Cell const& cell, double links_per_ns) = 0;
  /// One sample, merged and verified. What a rank's model does wrong is the sample's failure. Throws
  /// TeamLost, Interrupted.
  virtual CellSample sample(Cell const& cell) = 0;
  /// There are more ranks than CPUs, or they may use the same.
  virtual bool ranks_share_cpus() const noexcept = 0;
  /// Of the result file's context: ranks, hosts, the MPI library, and how references were checked.
  virtual Json describe() const = 0;
  /// What a reader must know, a sentence each.
  virtual std::vector<std::string> notes() const = 0;
};

}  // namespace tally
