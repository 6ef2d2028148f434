// Takes samples of cells: where they run, with which service beside them.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/analysis/sample.hpp"
#include "bench/machine/awake_cpus.hpp"
#include "bench/output/progress.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/process/child_watch.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/lookup_backend.hpp"
#include "bench/sampling/streams.hpp"
#include "models/external/external.hpp"

namespace tally {

/// What the model of `cell` is given, on as many of `cpus`, the first of them, as it has workers.
Setup setup_of(Cell const& cell, std::vector<int> const& cpus);

/// Worker CPUs are the first `workers` of usable_cpus(), all of them if there are fewer. The load generator
/// and the embedded service have the last, one each if there are as many beside those of the workers; there
/// they spin. Else they sleep, on what CPU is left, both on one or all among the workers, and a note says so.
/// If the options ask for it, the workers' CPUs poll while a sample is taken (AwakeCpus).
class CellRunner {
 public:
  /// Starts the embedded service, or greets the external one, if the plan has a lookup cell; a database gets
  /// the run's keys. A service that does not answer, or takes no keys, is no error here: it is the failure of
  /// every lookup sample. Throws Interrupted.
  CellRunner(RunOptions const& options, Plan const& plan, StopSignals const& stop, Progress& progress,
             std::filesystem::path const& latency_limit = AwakeCpus::kLatencyLimit);

  /// The service that answers lookups.
  LookupBackend& lookups() noexcept { return lookups_; }
  LookupBackend const& lookups() const noexcept { return lookups_; }
  /// One sample, verified against the workload's reference. A service that died takes the sample with it, and
  /// is started again once. Throws Interrupted.
  CellSample run(Cell const& cell, Workload const& workload, Streams& streams);

  /// The distribution of waits that apply, or none: an external service waits as it likes.
  bool waits_are_ours() const noexcept { return !options_.service; }
  /// min(workers, usable CPUs): what a cell's bound may count on.
  int cpus_of(Cell const& cell) const noexcept;
  /// The CPUs that the plan's widest cell runs on.
  std::vector<int> const& worker_cpus() const noexcept { return worker_cpus_; }
  std::vector<std::string> const& notes() const noexcept { return notes_; }
  /// While it lives, the CPUs of that cell's workers poll, if the options ask for it. run() sees to it; for
  /// whoever has samples taken by others.
  std::optional<AwakeCpus::Polling> polling(Cell const& cell);
  /// What keeps the workers' CPUs polling; null if nothing does (for tests).
  AwakeCpus const* awake() const noexcept { return awake_.get(); }

 private:
  /// What the program of the cell is to do; nothing of a cell without one.
  ExternalTask external_task(Cell const& cell, Workload const& workload) const;
  /// How a sample of the cell is watched.
  SampleWatch watch_of(Cell const& cell, std::vector<int> other_processes) const;
  /// Whether a CPU is left beside this cell's workers, and the service if it asks that, for the load
  /// generator alone.
  bool generator_has_cpu(Cell const& cell) const noexcept;
  /// Whether the cell asks a service that needs a CPU of this machine.
  bool service_beside(Cell const& cell) const noexcept;
  std::vector<int> generator_cpus(Cell const& cell) const;
  CellSample run_lookup(Cell const& cell, Workload const& workload, Ending& ending);
  CellSample run_ingest(Cell const& cell, Workload const& workload, Streams& streams, Ending& ending);
  std::chrono::nanoseconds timeout() const noexcept;
  RunOptions const& options_;
  StopSignals const& stop_;
  Progress& progress_;
  std::vector<int> cpus_;
  std::vector<int> worker_cpus_;
  std::unique_ptr<AwakeCpus> awake_;
  std::vector<std::string> notes_;
  LookupBackend lookups_;  // adds to the notes
};

}  // namespace tally
