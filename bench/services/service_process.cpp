#include "bench/services/service_process.hpp"

#include <numeric>
#include <utility>

#include "bench/services/ping.hpp"

namespace tally {
namespace {

constexpr std::chrono::milliseconds kReadyWithin{5000};
/// It is killed instead.
constexpr int kNeverStops = -1;

}  // namespace

std::optional<double> lateness_p99_s(std::vector<std::uint64_t> const& buckets) {
  std::uint64_t const total = std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0});
  if (total == 0) return std::nullopt;
  std::uint64_t const rank =
      total - total / 100;  // at least 99% are in buckets up to the one that holds this rank
  std::size_t bucket = 0;
  for (std::uint64_t seen = buckets[0]; seen < rank; seen += buckets[bucket]) ++bucket;
  std::size_t const steps = bucket + 1 == buckets.size() ? bucket : bucket + 1;
  return static_cast<double>(steps) * std::chrono::duration<double>(ServiceControl::kLatenessStep).count();
}

ServiceProcess::ServiceProcess(ServiceConfig const& config, std::vector<int> cpus, StopSignals const& stop)
    : config_(config),
      cpus_(std::move(cpus)),
      stop_(stop),
      control_("memory shared with the lookup service"),
      listener_(listen_on_loopback(config_.port)) {
  address_.port = local_port(listener_.get());
  try {
    start();
  } catch (...) {
    end();
    throw;
  }
}

ServiceProcess::~ServiceProcess() { end(); }

void ServiceProcess::start() {
  process_ = std::make_unique<HelperProcess>("the lookup service", cpus_, [this] {
    serve_lookups(config_, listener_.get(), kNeverStops, *control_);
  });
  StopSignals::kill_at_exit(process_->pid());
  try {
    ping(address_, kReadyWithin, stop_);
  } catch (ServiceFailed const& e) {
    throw ServiceFailed("the embedded lookup service is not ready: " + death().value_or(e.what()));
  }
}

void ServiceProcess::end() noexcept {
  process_.reset();
  StopSignals::kill_at_exit(0);
}

std::optional<std::string> ServiceProcess::death() {
  auto const death = process_->death();
  if (death) StopSignals::kill_at_exit(0);
  return death;
}

void ServiceProcess::restart() {
  end();
  control_->connections.store(0);
  start();
}

void ServiceProcess::set_wait(WaitSpec const& wait) noexcept {
  control_->wait_ns.store(wait.mean.count());
  control_->distribution.store(static_cast<int>(wait.distribution));
}

ServiceAccount ServiceProcess::account() const {
  ServiceAccount account;
  account.cpu_s = process_->cpu_s();
  account.busy_s = static_cast<double>(control_->busy_ns.load()) * 1e-9;
  account.requests = control_->requests.load();
  account.replies = control_->replies.load();
  account.lateness.reserve(ServiceControl::kLatenessBuckets);
  for (auto const& bucket : control_->lateness) account.lateness.push_back(bucket.load());
  return account;
}

}  // namespace tally
