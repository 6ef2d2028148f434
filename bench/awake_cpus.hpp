// CPUs that poll while they wait, instead of halting.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/helper_process.hpp"

namespace tally {

/// A process with a thread on each of some CPUs, of the scheduler's idle class (SCHED_IDLE, sched(7)), which
/// spins while it is asked to; any other thread that wants the CPU has it at once. Such a CPU neither sleeps
/// deeply nor, in a virtual machine, goes back to the hypervisor, and to wake a server there costs its sender
/// what the kernel takes for it: what idle=poll does (kernel parameters), for some CPUs, for a while, and for
/// anybody.
class AwakeCpus {
 public:
  /// Forks; the threads sleep. Throws std::system_error. Call single-threaded.
  explicit AwakeCpus(std::vector<int> const& cpus);
  ~AwakeCpus();
  AwakeCpus(AwakeCpus const&) = delete;
  AwakeCpus& operator=(AwakeCpus const&) = delete;

  /// While this lives, the first `count` of the CPUs poll.
  class Polling {
   public:
    Polling(AwakeCpus& cpus, int count) : cpus_(cpus) { cpus_.set(count); }
    ~Polling() { cpus_.set(0); }
    Polling(Polling const&) = delete;
    Polling& operator=(Polling const&) = delete;

   private:
    AwakeCpus& cpus_;
  };

  pid_t pid() const noexcept { return process_->pid(); }
  /// CPU time that it has used, in seconds.
  double cpu_s() const noexcept { return process_->cpu_s(); }
  /// How the process ended, if it has: from then on the CPUs halt.
  std::optional<std::string> death() { return process_->death(); }

 private:
  struct Shared;
  void set(int count) noexcept;

  Shared* shared_;
  std::unique_ptr<HelperProcess> process_;
};

}  // namespace tally
