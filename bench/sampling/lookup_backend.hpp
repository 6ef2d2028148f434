// The service that answers the lookups of a campaign.
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

/// After a sample has failed, the death of a helper process that caused it shows within this time.
inline constexpr int kDeathShowsWithinMs = 50;

/// The embedded lookup service, an external one, or a database with keys of the run's own.
class LookupBackend {
 public:
  /// Appends to `notes` what a reader of the results must know. All arguments must outlive it.
  LookupBackend(RunOptions const& options, StopSignals const& stop, Progress& progress,
                std::vector<std::string>& notes);

  /// Starts the embedded service, or connects to the external one and loads keys if that is a database. The
  /// embedded service spins on the last of `cpus` if `most_workers` (and, with `beside_generator`, the load
  /// generator) leave that CPU free; otherwise it sleeps between requests. A service that does not answer, or
  /// takes no keys, is no error here: every sample then fails. Throws Interrupted.
  void begin(std::vector<int> const& cpus, std::vector<int> const& worker_cpus, int most_workers,
             bool beside_generator);
  /// Where lookups go.
  LookupTarget target() const;
  /// "embedded", "redis 7.0.15", "lookup service", or "unknown" if no service answered.
  std::string name() const;
  /// Null if the service is no database.
  RedisDatabase const* database() const noexcept { return database_.get(); }
  /// Readable when the embedded service has ended; -1 without an embedded service.
  int pidfd() const noexcept { return service_ ? service_->pidfd() : -1; }
  /// Whether the service uses a CPU of this machine.
  bool is_on_this_machine() const noexcept;
  /// After the last sample: removes the run's keys from the database. Returns what is left there, in a line
  /// that is a note too; empty if nothing is.
  std::string remove_keys();

  /// One sample of a cell with lookups. `take` measures it and sets how it ended. If the service dies, the
  /// sample has failed; the service is restarted once.
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
