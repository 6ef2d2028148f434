// Whom the lookups of a campaign ask, and what it does for a sample.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/output/progress.hpp"
#include "bench/plan/cell.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/process/child_watch.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/streams.hpp"
#include "bench/services/redis_database.hpp"
#include "bench/services/service_process.hpp"

namespace tally {

/// How long it is waited for a helper's death to show after a sample has failed because of it.
inline constexpr int kDeathShowsWithinMs = 50;

/// The embedded lookup service, an external one, or a database with keys of the run's own.
class LookupSide {
 public:
  /// Adds to `notes` what a reader must know. All must outlive it.
  LookupSide(RunOptions const& options, StopSignals const& stop, Progress& progress,
             std::vector<std::string>& notes);

  /// Starts the embedded service, on the last of `cpus` if as many are left beside `most_workers`, and one
  /// more for the load generator where there is one; or greets the external one, which gets keys if it is a
  /// database. One that does not answer, or takes no keys, is no error here: it is the failure of every
  /// sample. Throws Interrupted.
  void begin(std::vector<int> const& cpus, std::vector<int> const& worker_cpus, int most_workers,
             bool beside_generator);
  /// Whom lookups ask.
  LookupTarget target() const;
  /// What that is: "embedded", "redis 7.0.15", "lookup service", or "unknown" where nobody answered.
  std::string name() const;
  /// Null if lookups ask no database.
  RedisDatabase const* database() const noexcept { return database_.get(); }
  /// Readable when the embedded service has ended; -1 if it is none of ours.
  int pidfd() const noexcept { return service_ ? service_->pidfd() : -1; }
  /// Whether it needs a CPU here.
  bool is_on_this_machine() const noexcept;
  /// After the last sample: removes the run's keys from the database. Returns what is left there, in a line
  /// that is a note too; empty if nothing is.
  std::string remove_keys();

  /// A sample of a cell whose events are looked up: `take` measures it, and says of itself how it ended. A
  /// service that died takes the sample with it, and is started again once.
  CellSample with(Cell const& cell, Workload const& workload, std::function<CellSample(Ending&)> const& take);

 private:
  void start(std::vector<int> const& cpus, int most_workers, bool beside_generator);
  void find(std::vector<int> const& worker_cpus);
  void load_keys(std::vector<int> const& worker_cpus);
  /// No lookup can be run any more.
  void lose(std::string const& why);
  CellSample with_database(std::function<CellSample(Ending&)> const& take);
  void account_service(CellSample& taken, ServiceAccount const& before) const;
  static void check_asked(Sample& sample, Workload const& workload, ServiceAccount const& before,
                          ServiceAccount const& after);
  bool note_service_death(Sample& sample);

  RunOptions const& options_;
  StopSignals const& stop_;
  Progress& progress_;
  std::vector<std::string>& notes_;
  std::unique_ptr<ServiceProcess> service_;
  LookupTarget external_;  ///< with --service
  std::unique_ptr<RedisDatabase> database_;
  std::string failure_;  ///< why no lookup can be run
  bool restarted_ = false;
};

}  // namespace tally
