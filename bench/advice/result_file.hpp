// Reading what `tally run --out` wrote.
#pragma once

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bench/advice/cost_model.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/plan/run_options.hpp"
#include "workloads/lookup/lookup_wait.hpp"

namespace tally {

/// A file that is no result of Tally, or not whole, or was changed; what() is a line that names it.
struct NoResultFile : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The CPU where a file, or the kernel, names none.
inline constexpr char kUnknownCpu[] = "unknown CPU";

/// What a result file says, as far as it is about models' costs.
struct ResultFile {
  std::string path;
  std::string id, date, suite;  ///< result ID; when; version and commit of the program
  std::string host, cpu_model;  ///< whose
  int cpus = 0;                 ///< that it could use
  WaitDistribution wait_distribution = WaitDistribution::exponential;  ///< of lookups
  Idle idle = Idle::halt;                                              ///< what CPUs did that waited
  std::uint64_t seed = 1;                                              ///< of keys and waits
  bool waits_are_ours = true;  ///< of lookups: the embedded service drew them from the seed
  std::string unfit;           ///< why the machine was not fit to measure on; empty if it was
  /// Half-width of the noise floor, relative to it: the machine's speed was not known better. 0 if it is not
  /// said.
  double noise_floor = 0;
  /// Cells of models on cpu and on lookup that were verified, in medians, in the file's order. Of lookups,
  /// events/s are those of the long run (DrawnWaits).
  std::vector<MeasuredCell> cells;
  /// Cells that failed, and why.
  std::vector<std::pair<std::string, std::string>> failed;

  /// `Intel(R) Xeon(R) Processor, 2 CPUs`
  std::string machine() const { return cpu_model + ", " + std::to_string(cpus) + " CPUs"; }
};

/// Reads a result file. Throws NoResultFile, also if its ID is not that of its content.
ResultFile read_result_file(std::filesystem::path const& path);

}  // namespace tally
