// `tally run --against`: two builds of Tally in one campaign.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/analysis/campaign_result.hpp"
#include "bench/base/json.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/sampler_process.hpp"

namespace tally {

/// This build and the other one, both as samplers: each is started the same way and forks its samples from a
/// process of the same kind, so that nothing sets them apart but what they were built from.
class Against {
 public:
  /// Starts both. Throws UsageError if the other is no Tally that can take samples, Interrupted.
  Against(RunOptions const& options, StopSignals const& stop);

  /// `own` with the other build's cells beside those that both have. Throws UsageError if they have none in
  /// common.
  Plan pair_up(Plan own);
  /// Makes the streams of all cells on both sides, with the numbers of events that `cells` have. Throws
  /// SamplerFailed, Interrupted.
  void prepare(double links_per_ns, std::vector<CellResult> const& cells);
  /// One sample of a cell of either build. A cell that the two builds count differently has failed. Throws
  /// Interrupted.
  CellSample sample(Cell const& cell);

  /// What the result file says of the other build, as JSON: its path, version, commit, hash and libraries.
  std::string describe_other() const;
  /// What a reader must know of the cells that were left out.
  std::vector<std::string> notes() const;

 private:
  std::filesystem::path path_;
  std::vector<std::string> arguments_;
  std::unique_ptr<SamplerProcess> here_, there_;
  std::map<std::string, std::string>
      not_alike_;  ///< cells that the two count differently, and how this shows
  std::vector<std::string> notes_;
};

}  // namespace tally
