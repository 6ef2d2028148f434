#include "bench/process/cleanup_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <system_error>
#include <utility>

#include "bench/process/stop_signals.hpp"

namespace tally {
namespace {

/// The whole life of the process.
[[noreturn]] void live(int parent, std::function<void()> const& body) {
  ::setsid();
  for (int const number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
  // Whoever reads what this program prints is not to wait for this process.
  if (int const nothing = ::open("/dev/null", O_RDWR); nothing >= 0) {
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(nothing, STDOUT_FILENO);
    ::close(nothing);
  }
  char byte = 0;
  ssize_t n;
  do {
    n = ::read(parent, &byte, 1);
  } while (n < 0 && errno == EINTR);
  // A byte dismisses. The end of the pipe is that of the parent, and of all children that it took along.
  if (n == 0) body();
  ::_exit(0);
}

}  // namespace

CleanupProcess::CleanupProcess(std::string const& what, std::function<void()> const& body) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "pipe to " + what);
  OwnedFd const theirs(ends[0]);
  alive_.reset(ends[1]);
  std::cout.flush();
  std::fflush(nullptr);
  SignalsBlocked const blocked;
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork of " + what);
  if (pid_ == 0) {
    alive_.reset();
    StopSignals::restore_in_child();
    live(theirs.get(), body);
  }
}

CleanupProcess::~CleanupProcess() { dismiss(); }

void CleanupProcess::dismiss() noexcept {
  if (pid_ < 0) return;
  char const byte = 0;
  while (::write(alive_.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  alive_.reset();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

}  // namespace tally
