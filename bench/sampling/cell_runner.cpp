#include "bench/sampling/cell_runner.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "bench/analysis/sample.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/process/child_watch.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/measure.hpp"
#include "bench/services/load_process.hpp"
#include "bench/services/ping.hpp"
#include "workloads/base/memory.hpp"

namespace tally {
namespace {

/// No sample is waited for longer where the options name no limit.
constexpr std::chrono::seconds kDefaultTimeout{60};
/// A program that is run as a model is waited for by whoever started it, who knows what it said last: so much
/// longer for that process. And for so long for its words, when a process that it depends on has ended.
constexpr std::chrono::seconds kExternalSlack{5};
constexpr std::chrono::milliseconds kExternalLastWords{600};
/// So many lines more than there are counts may be printed before it is stopped: then the comparison says
/// what is wrong.
constexpr std::uint64_t kSpareLines = 16;

int cpus_of(Cell const& cell, std::size_t usable) noexcept {
  return std::min(cell.model->sequential ? 1 : cell.workers, static_cast<int>(usable));
}

}  // namespace

CellRunner::CellRunner(RunOptions const& options, Plan const& plan, StopSignals const& stop,
                       Progress& progress, std::filesystem::path const& latency_limit)
    : options_(options),
      stop_(stop),
      progress_(progress),
      cpus_(usable_cpus()),
      lookups_(options, stop, progress, notes_) {
  int most_workers = 0, most_lookup_workers = 0;
  bool beside_generator = false, generator_shares = false;
  for (Cell const& cell : plan.cells) {
    most_workers = std::max(most_workers, cell.workers);
    if (looks_up(cell)) most_lookup_workers = std::max(most_lookup_workers, cell.workers);
    if (cell.stream != StreamKind::ingest) continue;
    if (cell.lookup) beside_generator = true;
    if (!generator_has_cpu(cell)) generator_shares = true;
  }
  if (generator_shares)
    notes_.push_back(
        "the load generator shares its CPU with workers or the lookup service: it sleeps instead of "
        "spinning, and is late");
  if (most_workers > static_cast<int>(cpus_.size()))
    notes_.push_back("up to " + std::to_string(most_workers) + " workers share the " +
                     std::to_string(cpus_.size()) + " CPUs that this process may use");
  worker_cpus_.assign(cpus_.begin(), cpus_.begin() + std::min(most_workers, static_cast<int>(cpus_.size())));
  if (options_.idle == Idle::poll) {
    awake_ = std::make_unique<AwakeCpus>(worker_cpus_, latency_limit);
    notes_.push_back(awake_->how());
  }
  if (most_lookup_workers > 0) lookups_.begin(cpus_, worker_cpus_, most_lookup_workers, beside_generator);
}

bool CellRunner::service_beside(Cell const& cell) const noexcept {
  return cell.lookup && lookups_.is_on_this_machine();
}

bool CellRunner::generator_has_cpu(Cell const& cell) const noexcept {
  return cell.workers + (service_beside(cell) ? 1 : 0) < static_cast<int>(cpus_.size());
}

std::optional<AwakeCpus::Polling> CellRunner::polling(Cell const& cell) {
  if (!awake_) return std::nullopt;
  if (auto const failure = awake_->failure()) {
    notes_.push_back("what keeps the workers' CPUs awake failed (" + *failure +
                     "): from then on they halted while they waited, as with --idle halt");
    progress_.warn(notes_.back());
    awake_.reset();
    return std::nullopt;
  }
  return std::optional<AwakeCpus::Polling>(std::in_place, *awake_, cpus_of(cell));
}

/// The last but that of the service, or the service's if there is no other.
std::vector<int> CellRunner::generator_cpus(Cell const& cell) const {
  auto const left = static_cast<int>(cpus_.size()) - cell.workers;
  if (left <= 0) return cpus_;
  bool const before_service = service_beside(cell) && left >= 2;
  return {cpus_[cpus_.size() - (before_service ? 2 : 1)]};
}

int CellRunner::cpus_of(Cell const& cell) const noexcept { return tally::cpus_of(cell, cpus_.size()); }

Setup setup_of(Cell const& cell, std::vector<int> const& cpus) {
  Setup setup;
  setup.workers = cell.workers;
  setup.batch = cell.batch;
  setup.in_flight = cell.in_flight;
  setup.io = cell.io;
  setup.cpus.assign(cpus.begin(), cpus.begin() + cpus_of(cell, cpus.size()));
  return setup;
}

ExternalTask CellRunner::external_task(Cell const& cell, Workload const& workload) const {
  ExternalTask task;
  if (cell.model->external == nullptr) return task;
  task.program = cell.model->external;
  if (workload.file) task.events_path = workload.file->path();
  task.window = options_.window;
  task.keys = options_.keys.keys;
  task.windows = synthetic_windows(cell.events, options_.window);
  task.lines_max = kSpareLines;
  for (auto const& window : workload.expected.windows()) task.lines_max += window.distinct_keys;
  task.events = cell.events;
  task.pairs = workload.expected.pairs;
  task.connections = cell.connections;
  task.patience = timeout();
  return task;
}

SampleWatch CellRunner::watch_of(Cell const& cell, std::vector<int> other_processes) const {
  SampleWatch watch{timeout(), stop_, std::move(other_processes)};
  if (cell.model->external == nullptr) return watch;
  watch.timeout += kExternalSlack;
  watch.last_words = kExternalLastWords;
  return watch;
}

CellSample CellRunner::run(Cell const& cell, Workload const& workload, Streams& streams) {
  auto const awake = polling(cell);
  // A program of its own reads them elsewhere.
  bool const reads_events = cell.stream == StreamKind::cpu && cell.model->external == nullptr;
  streams.share_events(reads_events ? cell.events : 0);
  auto const take = [&](Ending& ending) {
    return cell.stream == StreamKind::lookup ? run_lookup(cell, workload, ending)
                                             : run_ingest(cell, workload, streams, ending);
  };
  if (looks_up(cell)) return lookups_.with(cell, workload, take);
  if (cell.stream == StreamKind::ingest) {
    Ending ending;
    return take(ending);
  }
  Setup setup = setup_of(cell, cpus_);
  ExternalTask const task = external_task(cell, workload);
  if (task.program != nullptr) setup.external = &task;
  Measured measured = measure(*cell.model, *workload.cpu, setup, workload.expected, watch_of(cell, {}));
  if (measured.ending == Ending::interrupted) throw Interrupted("interrupted");
  return {std::move(measured.sample), {}};
}

std::chrono::nanoseconds CellRunner::timeout() const noexcept {
  return options_.sample_timeout.count() > 0 ? options_.sample_timeout : kDefaultTimeout;
}

CellSample CellRunner::run_lookup(Cell const& cell, Workload const& workload, Ending& ending) {
  Setup setup = setup_of(cell, cpus_);
  ExternalTask const task = external_task(cell, workload);
  if (task.program != nullptr) setup.external = &task;
  Measured measured =
      measure(*cell.model, *workload.lookup, setup, workload.expected, watch_of(cell, {lookups_.pidfd()}));
  ending = measured.ending;
  if (ending == Ending::interrupted) throw Interrupted("interrupted");
  return {std::move(measured.sample), {}};
}

CellSample CellRunner::run_ingest(Cell const& cell, Workload const& workload, Streams& streams,
                                  Ending& ending) {
  Setup setup = setup_of(cell, cpus_);
  ExternalTask const task = external_task(cell, workload);
  if (task.program != nullptr) setup.external = &task;
  IngestSpec spec;
  spec.workers = cell.workers;
  spec.rules.window = options_.window;
  spec.rules.grain = workload.grain;
  spec.connections = static_cast<std::uint64_t>(cell.connections);
  if (cell.lookup) spec.lookups = workload.lookup.get();
  IngestStream stream(spec);
  if (task.program != nullptr) stream.release_port();
  LoadConfig config;
  // A program says once that it stands ready for as many as it serves at a time.
  config.connections_first = cell.model->sequential || task.program != nullptr ? 1 : spec.connections;
  config.spin = generator_has_cpu(cell);
  config.cpus = generator_cpus(cell);
  // The generator has the schedule in its memory, the server has not: it is charged with none of it.
  streams.share_load(workload, true);
  LoadProcess load(*workload.load, stream, config);
  streams.share_load(workload, false);
  std::vector<int> others{load.pidfd()};
  if (cell.lookup && lookups_.pidfd() >= 0) others.push_back(lookups_.pidfd());
  Measured measured =
      measure(*cell.model, stream, setup, workload.expected, watch_of(cell, std::move(others)));
  ending = measured.ending;
  if (ending == Ending::interrupted) throw Interrupted("interrupted");
  CellSample taken;
  taken.sample = std::move(measured.sample);
  taken.timed_out = ending == Ending::timed_out;
  if (!taken.sample.failure.empty()) {
    pollfd ended{load.pidfd(), POLLIN, 0};
    ::poll(&ended, 1, kDeathShowsWithinMs);
    if (auto const why = load.failure()) {
      // What is known of the server says more, if there is anything.
      std::string& failure = taken.sample.failure;
      bool const nothing_known = failure.starts_with("the process it depends on");
      failure = (nothing_known ? "" : failure + "; ") + "the load was not sent: " + *why;
    }
    if (ending == Ending::timed_out)
      taken.sample.failure += "; of " + std::to_string(workload.load->events()) + " events, " +
                              std::to_string(load.account().events) + " were sent";
    return taken;
  }
  LoadAccount const& account = load.account();
  LoadFigures figures;
  figures.offered_per_s = cell.rate_per_s > 0 ? cell.rate_per_s : account.achieved_per_s();
  figures.achieved_per_s = account.achieved_per_s();
  figures.schedule_s = cell.rate_per_s > 0 ? static_cast<double>(account.events) / cell.rate_per_s : 0;
  std::int64_t last_counted_ns = account.last_sent_ns;
  for (int w = 0; w < stream.workers(); ++w)
    last_counted_ns = std::max(last_counted_ns, stream.tally(w).totals().last_stamped_ns);
  // Where no sender waited for the server, that the generator was late is none of the model's doing.
  std::int64_t const last_ns = account.waits == 0 ? account.last_sent_ns : account.last_due_ns;
  figures.behind_s = static_cast<double>(last_counted_ns - last_ns) * 1e-9;
  figures.late_p99_s = std::chrono::duration<double>(account.lateness.at_percentile(99)).count();
  figures.late_greatest_s = std::chrono::duration<double>(account.lateness.greatest()).count();
  figures.bytes = account.bytes;
  figures.sends = account.sends;
  figures.waits = account.waits;
  figures.generator_cpu_s = load.cpu_s();
  if (workload.load->spec().stamped) {
    auto const corrected = make_latencies(), uncorrected = make_latencies();
    stream.add_latencies(*corrected, *uncorrected);
    figures.corrected = figures_of(*corrected);
    figures.uncorrected = figures_of(*uncorrected);
    taken.corrected = corrected;
    taken.uncorrected = uncorrected;
  }
  taken.sample.load = figures;
  return taken;
}

}  // namespace tally
