#include "bench/cell_runner.hpp"

#include <poll.h>

#include <algorithm>

namespace tally {
namespace {

constexpr std::chrono::milliseconds kGreetWithin{2000};
/// How long a service's death may take to show after a sample has failed because of it.
constexpr int kDeathShowsWithinMs = 50;
/// No sample is waited for longer where the options name no limit.
constexpr std::chrono::seconds kDefaultTimeout{60};

}  // namespace

CellRunner::CellRunner(RunOptions const& options, Plan const& plan, StopSignals const& stop,
                       Progress& progress)
    : options_(options), stop_(stop), progress_(progress), cpus_(usable_cpus()) {
  int most_workers = 0, most_lookup_workers = 0;
  for (Cell const& cell : plan.cells) {
    most_workers = std::max(most_workers, cell.workers);
    if (cell.stream == StreamKind::lookup) most_lookup_workers = std::max(most_lookup_workers, cell.workers);
  }
  if (most_workers > static_cast<int>(cpus_.size()))
    notes_.push_back("up to " + std::to_string(most_workers) + " workers share the " +
                     std::to_string(cpus_.size()) + " CPUs that this process may use");
  worker_cpus_.assign(cpus_.begin(), cpus_.begin() + std::min(most_workers, static_cast<int>(cpus_.size())));
  if (most_lookup_workers == 0) return;
  try {
    if (options_.service)
      ping(*options_.service, kGreetWithin, stop_);
    else
      start_service(most_lookup_workers);
  } catch (ServiceFailed const& e) {
    service_failure_ = e.what();
    progress_.warn(service_failure_);
  }
}

void CellRunner::start_service(int most_workers) {
  bool const own_cpu = most_workers < static_cast<int>(cpus_.size());
  if (!own_cpu)
    notes_.push_back(
        "the lookup service shares its CPU with workers: it sleeps instead of spinning, and answers later");
  ServiceConfig config;
  config.keys = options_.keys;
  config.spin = own_cpu;
  service_ =
      std::make_unique<ServiceProcess>(config, own_cpu ? std::vector<int>{cpus_.back()} : cpus_, stop_);
}

ServiceAddress CellRunner::service_address() const noexcept {
  if (options_.service) return *options_.service;
  return service_ ? service_->address() : ServiceAddress{};
}

int CellRunner::cpus_of(Cell const& cell) const noexcept {
  return std::min(cell.model->sequential ? 1 : cell.workers, static_cast<int>(cpus_.size()));
}

Setup CellRunner::setup_of(Cell const& cell) const {
  Setup setup;
  setup.workers = cell.workers;
  setup.batch = cell.batch;
  setup.in_flight = cell.in_flight;
  setup.cpus.assign(cpus_.begin(), cpus_.begin() + cpus_of(cell));
  return setup;
}

CellSample CellRunner::run(Cell const& cell, Workload const& workload, Streams& streams) {
  streams.share_events(cell.stream == StreamKind::cpu ? cell.events : 0);
  if (cell.stream == StreamKind::lookup) return run_lookup(cell, workload);
  auto const timeout = options_.sample_timeout.count() > 0 ? options_.sample_timeout : kDefaultTimeout;
  Measured measured =
      measure(*cell.model, *workload.cpu, setup_of(cell), workload.expected, {timeout, stop_});
  if (measured.ending == Ending::interrupted) throw Interrupted("interrupted");
  return {std::move(measured.sample), {}};
}

CellSample CellRunner::run_lookup(Cell const& cell, Workload const& workload) {
  CellSample taken;
  taken.sample.failure = service_failure_;
  if (!service_failure_.empty() || note_service_death(taken.sample)) return taken;
  ServiceAccount before;
  if (service_) {
    service_->set_wait({cell.wait, options_.wait_distribution});
    before = service_->account();
  }
  auto const timeout = options_.sample_timeout.count() > 0 ? options_.sample_timeout : kDefaultTimeout;
  Measured measured = measure(*cell.model, *workload.lookup, setup_of(cell), workload.expected,
                              {timeout, stop_, service_ ? service_->pidfd() : -1});
  if (measured.ending == Ending::interrupted) throw Interrupted("interrupted");
  taken.sample = std::move(measured.sample);
  if (!service_) return taken;
  if (!taken.sample.failure.empty()) {
    pollfd ended{service_->pidfd(), POLLIN, 0};
    ::poll(&ended, 1, kDeathShowsWithinMs);
  }
  // Before the death is looked at: a restart begins new accounts.
  ServiceAccount const after = service_->account();
  if (note_service_death(taken.sample)) return taken;
  if (measured.ending == Ending::timed_out)
    taken.sample.failure += "; of " + std::to_string(workload.lookup->events()) +
                            " events, the lookup service received " +
                            std::to_string(after.requests - before.requests) + " requests and answered " +
                            std::to_string(after.replies - before.replies);
  if (taken.sample.failure.empty()) account_service(taken, before);
  return taken;
}

void CellRunner::account_service(CellSample& taken, ServiceAccount const& before) const {
  ServiceAccount const after = service_->account();
  taken.sample.service_cpu_s = after.cpu_s - before.cpu_s;
  taken.sample.service_busy_s = after.busy_s - before.busy_s;
  taken.lateness = after.lateness;
  for (std::size_t i = 0; i < taken.lateness.size(); ++i) taken.lateness[i] -= before.lateness[i];
  taken.sample.reply_late_p99_s = lateness_p99_s(taken.lateness);
}

/// If the service has died: says so in `sample`, and starts another, once. True if it has.
bool CellRunner::note_service_death(Sample& sample) {
  if (!service_) return false;
  auto const death = service_->death();
  if (!death) return false;
  sample = Sample{};
  sample.failure = "the lookup service died (" + *death + ")";
  progress_.warn(sample.failure + (restarted_ ? "" : "; it is started again"));
  if (restarted_) {
    service_failure_ = sample.failure + ", and had been started again before";
    return true;
  }
  restarted_ = true;
  notes_.push_back(sample.failure + " and was started again");
  try {
    service_->restart();
  } catch (ServiceFailed const& e) {
    service_failure_ = e.what();
  }
  return true;
}

}  // namespace tally
