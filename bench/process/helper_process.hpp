// A process of the campaign's own that serves its samples from outside: the lookup service, the load
// generator.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "workloads/base/owned_fd.hpp"

namespace tally {

/// A forked child that runs a function until it returns or is killed; gone after destruction, and gone with
/// this process however it ends. Make it single-threaded.
class HelperProcess {
 public:
  /// Forks a process that runs `body` on `cpus` (any, if empty), and then exits with status 0, or 1 if it
  /// throws: with a line on standard error that begins with `name`. It is a process group of its own. Throws
  /// std::system_error.
  HelperProcess(std::string const& name, std::vector<int> const& cpus, std::function<void()> const& body);
  /// Kills it, if it still runs: a helper has nothing to lose.
  ~HelperProcess();
  HelperProcess(HelperProcess const&) = delete;
  HelperProcess& operator=(HelperProcess const&) = delete;

  /// Readable when the process has ended.
  int pidfd() const noexcept { return pidfd_.get(); }
  /// -1 once it has ended and death() has been asked.
  pid_t pid() const noexcept { return pid_; }
  /// CPU time that it has used, in seconds; 0 once it has ended.
  double cpu_s() const noexcept;
  /// How it ended ("killed by signal 9 (Killed)"), once it has. Then what it left running is killed too.
  std::optional<std::string> death();
  /// Kills it, if it still runs, and waits for its end.
  void end() noexcept;

 private:
  pid_t pid_ = -1;
  OwnedFd pidfd_;
  std::optional<std::string> death_;
};

}  // namespace tally
