// A forked child with a report to send, watched over until it and all that it started are gone.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/process/stop_signals.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {

/// How a sample is watched over from outside.
struct SampleWatch {
  std::chrono::nanoseconds timeout;  ///< > 0; then the sample's processes are killed
  StopSignals const& stop;           ///< a signal ends the sample at once
  /// pidfds; when one of these processes ends (the lookup service, the load generator), the sample ends with
  /// it.
  std::vector<int> other_processes{};
  /// When one of them has ended, the sample may take so long to say why: it may have been its doing.
  std::chrono::nanoseconds last_words{0};
};

/// How a sample's process ended.
enum class Ending {
  finished,       ///< by itself, well or with Sample::failure
  timed_out,      ///< Sample::failure says after how long; the caller may know more
  interrupted,    ///< SampleWatch::stop; the sample counts for nothing
  other_process,  ///< one of SampleWatch::other_processes ended first
};

/// A child process whose `body` returns a report that its parent reads.
class ChildWatch {
 public:
  /// Forks, as fork_process() does. `body` must not throw. Throws std::system_error.
  explicit ChildWatch(std::function<std::string()> const& body);
  /// Kills and reaps what is left.
  ~ChildWatch();
  ChildWatch(ChildWatch const&) = delete;
  ChildWatch& operator=(ChildWatch const&) = delete;

  struct Outcome {
    Ending ending = Ending::finished;
    std::optional<std::string> report;  ///< whole, or none
    int status = 0;                     ///< as waitpid(2) gives it
  };
  /// Waits until the child has ended, or one of `watch`'s reasons to end it has come. Then its whole process
  /// group is killed and reaped, whatever its processes were doing. Call once. Throws std::system_error.
  Outcome wait(SampleWatch const& watch);

 private:
  void take_report(std::string& buffer);
  void wait_for_report(std::string& buffer, std::chrono::nanoseconds within);
  int end_group() noexcept;

  pid_t pid_ = -1;
  OwnedFd pidfd_;
  OwnedFd report_;
};

}  // namespace tally
