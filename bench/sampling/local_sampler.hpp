// Samples that this process takes by itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/output/progress.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/process/stop_signals.hpp"
#include "bench/sampling/cell_runner.hpp"
#include "bench/sampling/sampler.hpp"
#include "bench/sampling/streams.hpp"

namespace tally {

/// Makes the streams, and forks a process for each sample.
class LocalSampler final : public Sampler {
 public:
  /// All but `plan` must outlive it. Starts the embedded lookup service, or greets the external one, if
  /// `plan` has cells that look up; reads the input file. Throws Interrupted, InputFailed. Call
  /// single-threaded.
  LocalSampler(RunOptions const& options, Plan const& plan, StopSignals const& stop, Progress& progress);

  LocalSampler& local() noexcept override { return *this; }
  std::vector<PreparedCell> prepare(std::vector<Cell> const& cells) override;
  std::uint64_t input_bytes() const override;
  /// Makes the cell's stream first if it is not prepared.
  CellSample sample(Cell const& cell) override;
  std::vector<std::string> notes() const override { return runner_.notes(); }

  /// Frees all streams and references: those of pilots would be part of every later sample's memory.
  void forget() { streams_.forget(); }
  /// Links of the grain's chain per nanosecond, as calibrated; 0 before. Set it before the first stream that
  /// has a grain is made.
  double links_per_ns() const noexcept { return streams_.links_per_ns(); }
  void set_links_per_ns(double links_per_ns) noexcept { streams_.set_links_per_ns(links_per_ns); }
  InputFile const* input() const noexcept { return streams_.input(); }
  /// The counts of the cell's stream, from a sequential loop.
  Counts const& reference(Cell const& cell) { return streams_.workload(cell).expected; }
  /// The CPUs and the services that samples use.
  CellRunner& runner() noexcept { return runner_; }
  CellRunner const& runner() const noexcept { return runner_; }

 private:
  RunOptions const& options_;
  CellRunner runner_;  // forks the service before the streams take memory
  Streams streams_;
};

/// How long the lookups of `cell` wait, computed from its events alone.
PreparedCell known_waits(Cell const& cell, RunOptions const& options, bool waits_are_ours);

}  // namespace tally
