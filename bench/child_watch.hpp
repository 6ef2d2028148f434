// A forked child with a report to send, watched over until it and all that it started are gone.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "bench/sample.hpp"

namespace tally {

/// Makes this freshly forked child what samples and the service are: a process group of its own, default
/// signals, killed when its parent ends. `parent` is the parent's pid, read before the fork.
void become_child_of(pid_t parent) noexcept;

/// A child process whose `body` returns a report that its parent reads.
class ChildWatch {
 public:
  /// Forks. `body` must not throw. Buffered output of this process is flushed first, so that none is written
  /// twice. Throws std::system_error.
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
  int end_group() noexcept;

  pid_t pid_ = -1;
  int pidfd_ = -1;
  int report_fd_ = -1;
};

}  // namespace tally
