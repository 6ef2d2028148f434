// What must be done even if this process is killed.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "workloads/base/owned_fd.hpp"

namespace tally {

/// A process that does nothing until this one ends: then it runs a function, however that end came, SIGKILL
/// included. It is a session of its own, so that no signal to this process's group, as Ctrl-C is one, reaches
/// it.
class CleanupProcess {
 public:
  /// `body` must not throw; it runs with nothing on standard input and output. `what` names the process if it
  /// cannot be made. Call single-threaded. Throws std::system_error.
  CleanupProcess(std::string const& what, std::function<void()> const& body);
  /// Dismisses it.
  ~CleanupProcess();
  CleanupProcess(CleanupProcess const&) = delete;
  CleanupProcess& operator=(CleanupProcess const&) = delete;

  /// Ends it without having run anything: there is nothing left to clean up.
  void dismiss() noexcept;

 private:
  pid_t pid_ = -1;
  OwnedFd alive_;  // of a pipe, at whose other end the process waits
};

}  // namespace tally
