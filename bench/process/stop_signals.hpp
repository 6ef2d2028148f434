// SIGINT, SIGTERM and SIGHUP, so that a campaign ends in order at any moment.
#pragma once

#include <sys/types.h>

#include <stdexcept>

namespace tally {

/// A stop signal came while something was waited for.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// While one lives, SIGINT, SIGTERM and SIGHUP no longer end the process: they make fd() readable. At most
/// one at a time, in a single-threaded process: throws std::logic_error otherwise, std::system_error when the
/// kernel refuses. The handlers found are put back at the end.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(StopSignals const&) = delete;
  StopSignals& operator=(StopSignals const&) = delete;

  /// Readable from the first such signal on. Not to be read from: it stays readable.
  int fd() const noexcept;
  bool requested() const noexcept;

  /// For a forked child: default handlers, nothing blocked, no part in the parent's pipe.
  static void restore_in_child() noexcept;

  /// For work that cannot be waited for with poll(), at a time when no sample has been finished yet: while
  /// one lives, a signal ends this process at once with status 130, and kills the process group registered by
  /// kill_at_exit(). A signal that came before ends it in the constructor.
  class ExitAtOnce {
   public:
    /// `said`: a string literal, what standard error is told then.
    explicit ExitAtOnce(StopSignals const& signals,
                        char const* said = "interrupted during set-up, before the first sample");
    ~ExitAtOnce();
    ExitAtOnce(ExitAtOnce const&) = delete;
    ExitAtOnce& operator=(ExitAtOnce const&) = delete;
  };
  /// The process group that ExitAtOnce kills; 0 for none.
  static void kill_at_exit(pid_t group) noexcept;
};

/// For a command that serves in the foreground: a signalfd(2) descriptor, which the caller owns, that becomes
/// readable when SIGINT or SIGTERM arrives. These do nothing else from here on, in this process; forked
/// children of the campaign's kind get their defaults back. Throws std::system_error.
int stop_descriptor();

/// Blocks all signals of this thread as long as it lives: around fork(2), so that no handler of the parent's
/// runs in the child.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept;
  ~SignalsBlocked();
  SignalsBlocked(SignalsBlocked const&) = delete;
  SignalsBlocked& operator=(SignalsBlocked const&) = delete;

 private:
  unsigned char saved_[128];  // a sigset_t, kept out of the header
};

}  // namespace tally
