// A forked child with a report to send, watched over until it and all that it started are gone.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "bench/sample.hpp"
#include "workloads/owned_fd.hpp"

namespace tally {

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
