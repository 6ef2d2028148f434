// A program that is run as a model: started, talked to, watched, and ended with all that it started.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/external/counts.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {

/// A program with pipes on its standard input, output and error. What it writes to standard error is read as
/// it comes, and its last bytes are kept; they stand in what is thrown. Nothing that it started outlives
/// this, in whatever session it hid: the calling process becomes a subreaper (prctl(2)), and must have no
/// other children. Call single-threaded. Everything that waits throws ExternalFailed when `patience`, from
/// the beginning, is over.
class ExternalProcess {
 public:
  using Clock = std::chrono::steady_clock;

  /// Starts `argv` (at least one), looked for in PATH as by execvp(3). It may use the CPUs that this process
  /// may use. Throws ExternalFailed if it cannot be run, std::system_error if there is no process or pipe to
  /// be had.
  ExternalProcess(std::vector<std::string> const& argv, std::chrono::nanoseconds patience);
  ~ExternalProcess();
  ExternalProcess(ExternalProcess const&) = delete;
  ExternalProcess& operator=(ExternalProcess const&) = delete;

  /// Waits for its next line, which must be `word`. Throws ExternalFailed for any other, and if it ends or
  /// closes its output first.
  void expect(std::string_view word);
  /// Writes the line `go` to its standard input, which then ends.
  void go();
  /// Reads memory_bytes() off, while it still runs.
  void note_memory();
  /// Takes the rest of its output. Throws ExternalFailed.
  void read_counts(CountReader& counts);
  /// Waits for its end. Throws ExternalFailed unless it exits with status 0 and leaves no process behind.
  void finish();

  /// Its peak resident memory when note_memory() was called, and what its processes then alive had written
  /// to; if it had ended by then, the peak of the largest. After finish().
  std::uint64_t memory_bytes() const noexcept;

 private:
  void start(std::vector<std::string> const& argv);
  bool wait_for_news(Clock::time_point until);
  void take_output();
  void take_errors();
  bool reap_if_ended();
  void wait_for_last_words();
  [[noreturn]] void fail(std::string const& what);
  [[noreturn]] void fail_for_time(std::string const& what_for);

  std::chrono::nanoseconds patience_;
  Clock::time_point deadline_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
  std::uint64_t memory_at_done_ = 0, largest_ = 0;
  OwnedFd in_, out_, errors_, pidfd_;
  bool output_over_ = false, errors_over_ = false;
  std::string output_;  // not yet taken
  std::string tail_;    // of its standard error
};

}  // namespace tally
