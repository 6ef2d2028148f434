// The lookup service as a campaign has it: the embedded one, a process of its own, or one that is there
// already.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/process/helper_process.hpp"
#include "bench/process/shared_object.hpp"
#include "bench/process/stop_signals.hpp"
#include "workloads/base/owned_fd.hpp"
#include "workloads/lookup/lookup_service.hpp"
#include "workloads/stream.hpp"

namespace tally {

/// What the embedded service has done so far; a sample's share is a difference of two.
struct ServiceAccount {
  double cpu_s = 0;   ///< the process's CPU time, spinning included
  double busy_s = 0;  ///< of that, what was work
  std::uint64_t requests = 0;
  std::uint64_t replies = 0;
  std::vector<std::uint64_t> lateness;  ///< by bucket, as ServiceControl counts it
};

/// The 99th percentile of a lateness histogram, as the upper end of its bucket (the lower end of the last,
/// which is open). None of an empty one.
std::optional<double> lateness_p99_s(std::vector<std::uint64_t> const& buckets);

/// The embedded lookup service in a process of its own, ready from construction, gone after destruction, and
/// gone with this process however it ends. Make it single-threaded: it forks.
class ServiceProcess {
 public:
  /// Listens on any free port of loopback, forks the service onto `cpus` (any, if empty) and waits until it
  /// answers PING. Throws ServiceFailed, Interrupted, std::system_error.
  ServiceProcess(ServiceConfig const& config, std::vector<int> cpus, StopSignals const& stop);
  ~ServiceProcess();
  ServiceProcess(ServiceProcess const&) = delete;
  ServiceProcess& operator=(ServiceProcess const&) = delete;

  /// The same for the whole life, restarts included.
  ServiceAddress address() const noexcept { return address_; }
  /// Between samples alone, when no request is under way.
  void set_wait(WaitSpec const& wait) noexcept;
  ServiceAccount account() const;
  /// Readable when the service's process has ended.
  int pidfd() const noexcept { return process_->pidfd(); }
  pid_t pid() const noexcept { return process_->pid(); }
  /// How it ended ("killed by signal 9 (Killed)"), once it has.
  std::optional<std::string> death();
  /// Another process in place of one that has ended, on the same port. Throws as the constructor does.
  void restart();

 private:
  void start();
  void end() noexcept;

  ServiceConfig config_;
  std::vector<int> cpus_;
  StopSignals const& stop_;
  ServiceAddress address_;
  SharedObject<ServiceControl> control_;
  OwnedFd listener_;
  std::unique_ptr<HelperProcess> process_;
};

}  // namespace tally
