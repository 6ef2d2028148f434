// `tally run --against`: two builds of Tally in one campaign.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/sampling/local_sampler.hpp"
#include "bench/sampling/sampler.hpp"
#include "bench/sampling/sampler_process.hpp"

namespace tally {

/// This build and another, each in a process that forks its samples. Both processes are started in the same
/// way, so that only the builds differ.
class TwoBuilds final : public Sampler {
 public:
  /// Starts both. `options`, `stop` and `progress` must outlive it. Throws UsageError if options.against is
  /// no Tally that takes samples, Interrupted, and what LocalSampler throws.
  TwoBuilds(RunOptions const& options, Plan const& plan, StopSignals const& stop, Progress& progress);

  LocalSampler& local() noexcept override { return local_; }
  /// `own` with the other build's cells beside those that both have. Throws UsageError if they have none in
  /// common.
  Plan complete(Plan own) override;
  /// Throws SamplerFailed, Interrupted.
  std::vector<PreparedCell> prepare(std::vector<Cell> const& cells) override;
  std::uint64_t input_bytes() const override { return local_.input_bytes(); }
  /// A cell whose reference counts differ between the builds fails.
  CellSample sample(Cell const& cell) override;
  /// `against`: the other build's path, version, commit, hash and libraries.
  Json describe() const override;
  std::vector<std::string> notes() const override;

 private:
  RunOptions const& options_;
  Progress& progress_;
  std::vector<std::string> arguments_;
  std::unique_ptr<SamplerProcess> there_, here_;
  std::map<std::string, std::string> not_alike_;  ///< why cells are not comparable, by name
  std::vector<std::string> notes_;
  LocalSampler local_;  ///< after the two processes, which are forked from less memory
};

}  // namespace tally
