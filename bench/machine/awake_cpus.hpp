// CPUs that poll while they have nothing to run, instead of halting.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/process/helper_process.hpp"
#include "bench/process/shared_object.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {

/// Keeps CPUs from sleeping: a CPU that halts sleeps deeply or, in a virtual machine, goes back to the
/// hypervisor, and what wakes it then takes from microseconds to milliseconds, as the machine has it at that
/// moment. Two ways:
/// - The kernel's limit of what waking a CPU may take (/dev/cpu_dma_latency, Documentation/power/
///   pm_qos_interface.rst, as cyclictest(8) sets it): at 0 all CPUs poll, and a sender need not even
///   interrupt them. It takes the right to write there, which root has.
/// - Else a process with a thread on each CPU, of the scheduler's idle class (SCHED_IDLE, sched(7)), which
///   spins; any other thread that wants the CPU has it at once. Anybody may.
class AwakeCpus {
 public:
  static constexpr char kLatencyLimit[] = "/dev/cpu_dma_latency";

  /// For those CPUs; they halt until there is a Polling. Forks, where `latency_limit` cannot be written: call
  /// single-threaded. Throws std::system_error.
  explicit AwakeCpus(std::vector<int> const& cpus,
                     std::filesystem::path const& latency_limit = kLatencyLimit);
  AwakeCpus(AwakeCpus const&) = delete;
  AwakeCpus& operator=(AwakeCpus const&) = delete;

  /// While this lives, the first `count` of the CPUs poll, if not all. One at a time.
  class Polling {
   public:
    Polling(AwakeCpus& cpus, int count) : cpus_(cpus) { cpus_.set(count); }
    ~Polling() { cpus_.set(0); }
    Polling(Polling const&) = delete;
    Polling& operator=(Polling const&) = delete;

   private:
    AwakeCpus& cpus_;
  };

  /// In which way, as a reader of the results should know it.
  std::string const& how() const noexcept { return how_; }
  /// Why CPUs halt from now on, if they do: the kernel took no limit, or the process has ended.
  std::optional<std::string> failure();
  /// The process that spins; -1 where none does, or if it has ended and failure() has been asked.
  pid_t pid() const noexcept { return process_ ? process_->pid() : -1; }

 private:
  void set(int count) noexcept;

  std::string how_;
  OwnedFd limit_;
  std::optional<std::string> failure_;
  std::optional<SharedObject<std::atomic<std::uint32_t>>>
      polling_;  ///< so many of the CPUs, the first of them
  std::unique_ptr<HelperProcess> process_;
};

}  // namespace tally
