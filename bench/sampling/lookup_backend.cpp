#include "bench/sampling/lookup_backend.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "bench/services/ping.hpp"

namespace tally {
namespace {

constexpr std::chrono::milliseconds kGreetWithin{2000};

}  // namespace

LookupBackend::LookupBackend(RunOptions const& options, StopSignals const& stop, Progress& progress,
                             std::vector<std::string>& notes)
    : options_(options), stop_(stop), progress_(progress), notes_(notes) {}

void LookupBackend::begin(std::vector<int> const& cpus, std::vector<int> const& worker_cpus, int most_workers,
                          bool beside_generator) {
  try {
    if (options_.service)
      find(worker_cpus);
    else
      start(cpus, most_workers, beside_generator);
  } catch (ServiceFailed const& e) {
    lose(e.what());
    remove_keys();
  }
}

bool LookupBackend::is_on_this_machine() const noexcept {
  constexpr std::uint32_t kLoopback = 127;
  return !options_.service || external_.host >> 24 == kLoopback;
}

void LookupBackend::lose(std::string const& why) {
  failure_ = why;
  progress_.warn(why);
}

void LookupBackend::find(std::vector<int> const& worker_cpus) {
  {
    StopSignals::ExitAtOnce const at_once(stop_);  // looking up a name heeds no signal
    external_ = LookupTarget(resolve(*options_.service));
  }
  ping_database(external_, kGreetWithin, stop_);
  database_ = RedisDatabase::open(*options_.service, external_);
  if (database_)
    load_keys(worker_cpus);
  else
    ping(external_, kGreetWithin, stop_);
}

void LookupBackend::load_keys(std::vector<int> const& worker_cpus) {
  progress_.say("loading keys into " + options_.service->shown());
  constexpr std::uint64_t kMost = RedisDatabase::kMostSlots;
  database_->load(options_.keys, std::min(options_.events.value_or(kMost), kMost), stop_);
  external_ = database_->target();
  if (std::any_of(options_.waits.begin(), options_.waits.end(), [](auto wait) { return wait.count() > 0; }))
    notes_.push_back("--wait is in the names of cells alone: " + options_.service->shown() +
                     " is a database, which answers when it can");
  auto const& theirs = database_->facts().cpus;
  auto const ours = [&](int cpu) {
    return std::find(worker_cpus.begin(), worker_cpus.end(), cpu) != worker_cpus.end();
  };
  if (std::any_of(theirs.begin(), theirs.end(), ours))
    notes_.push_back(
        "the database may run on the CPUs of workers, who then wait for each other: keep it off them with "
        "taskset(1), or scripts/with_redis --cpu");
}

std::string LookupBackend::name() const {
  if (!options_.service) return "embedded";
  if (database_) return "redis " + database_->facts().version;
  return external_.port != 0 && failure_.empty() ? "lookup service" : "unknown";
}

std::string LookupBackend::remove_keys() {
  std::string const left = database_ ? database_->remove() : "";
  if (!left.empty()) {
    notes_.push_back(left);
    progress_.warn(left);
  }
  return left;
}

void LookupBackend::start(std::vector<int> const& cpus, int most_workers, bool beside_generator) {
  int const left = static_cast<int>(cpus.size()) - most_workers;
  bool const own_cpu = left >= (beside_generator ? 2 : 1);
  if (!own_cpu)
    notes_.push_back(std::string("the lookup service shares its CPU with ") +
                     (left > 0 ? "the load generator" : "workers") +
                     ": it sleeps instead of spinning, and answers later");
  ServiceConfig config;
  config.keys = options_.keys;
  config.spin = own_cpu;
  service_ = std::make_unique<ServiceProcess>(config, left > 0 ? std::vector<int>{cpus.back()} : cpus, stop_);
}

LookupTarget LookupBackend::target() const {
  if (options_.service) return external_;
  return LookupTarget(service_ ? service_->address() : ServiceAddress{});
}

CellSample LookupBackend::with(Cell const& cell, Workload const& workload,
                               std::function<CellSample(Ending&)> const& take) {
  CellSample taken;
  taken.sample.failure = failure_;
  if (!failure_.empty() || note_service_death(taken.sample)) return taken;
  if (database_) return with_database(take);
  ServiceAccount before;
  if (service_) {
    service_->set_wait({cell.wait, options_.wait_distribution});
    before = service_->account();
  }
  Ending ending = Ending::finished;
  taken = take(ending);
  if (!service_) return taken;
  if (!taken.sample.failure.empty()) {
    pollfd ended{service_->pidfd(), POLLIN, 0};
    ::poll(&ended, 1, kDeathShowsWithinMs);
  }
  // Before the death is looked at: a restart begins new accounts.
  ServiceAccount const after = service_->account();
  if (note_service_death(taken.sample)) return taken;
  if (ending == Ending::timed_out)
    taken.sample.failure += "; of " + std::to_string(workload.lookup->events()) +
                            " events, the lookup service received " +
                            std::to_string(after.requests - before.requests) + " requests and answered " +
                            std::to_string(after.replies - before.replies);
  if (taken.sample.failure.empty() && cell.model->external != nullptr)
    check_asked(taken.sample, workload, before, after);
  if (taken.sample.failure.empty()) account_service(taken, before);
  return taken;
}

CellSample LookupBackend::with_database(std::function<CellSample(Ending&)> const& take) {
  CellSample taken;
  try {
    RedisAccount const before = database_->account();
    Ending ending = Ending::finished;
    taken = take(ending);
    Sample& sample = taken.sample;
    if (!sample.failure.empty()) {
      std::string const missing = database_->missing_keys();
      if (!missing.empty()) throw ServiceFailed(missing);
      return taken;
    }
    RedisAccount const after = database_->account();
    sample.service_cpu_s = after.cpu_s - before.cpu_s;
    sample.service_busy_s = after.main_thread_s - before.main_thread_s;
  } catch (ServiceFailed const& e) {
    std::string const failure = taken.sample.failure;
    taken = CellSample{};
    taken.sample.failure = failure + (failure.empty() ? "" : "; ") + e.what();
    lose(e.what());
  }
  return taken;
}

/// A program may count without asking; the service knows.
void LookupBackend::check_asked(Sample& sample, Workload const& workload, ServiceAccount const& before,
                                ServiceAccount const& after) {
  std::uint64_t const asked = after.requests - before.requests, answered = after.replies - before.replies;
  std::uint64_t const events = workload.lookup->events();
  if (asked == events && answered == events) return;
  sample = Sample{};
  sample.failure = "asked the lookup service for " + std::to_string(asked) + " keys, and was answered " +
                   std::to_string(answered) + " times, to count " + std::to_string(events) + " events";
}

void LookupBackend::account_service(CellSample& taken, ServiceAccount const& before) const {
  ServiceAccount const after = service_->account();
  taken.sample.service_cpu_s = after.cpu_s - before.cpu_s;
  taken.sample.service_busy_s = after.busy_s - before.busy_s;
  taken.lateness = after.lateness;
  for (std::size_t i = 0; i < taken.lateness.size(); ++i) taken.lateness[i] -= before.lateness[i];
  taken.sample.reply_late_p99_s = lateness_p99_s(taken.lateness);
}

/// If the service has died: says so in `sample`, and starts another, once. True if it has.
bool LookupBackend::note_service_death(Sample& sample) {
  if (!service_) return false;
  auto const death = service_->death();
  if (!death) return false;
  sample = Sample{};
  sample.failure = "the lookup service died (" + *death + ")";
  progress_.warn(sample.failure + (restarted_ ? "" : "; it is started again"));
  if (restarted_) {
    failure_ = sample.failure + ", and had been started again before";
    return true;
  }
  restarted_ = true;
  notes_.push_back(sample.failure + " and was started again");
  try {
    service_->restart();
  } catch (ServiceFailed const& e) {
    failure_ = e.what();
  }
  return true;
}

}  // namespace tally
