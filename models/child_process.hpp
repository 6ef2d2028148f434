// A child process that works on a shard and hands its counts back through shared memory.
#pragma once

#include <sys/types.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "workloads/counts.hpp"

namespace tally {

/// A child that ended before it handed over its counts; what() says how it ended, or what it threw.
struct ShardLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A child process that prepares, waits for the word, counts, and hands its counts back through shared memory
/// (memfd_create). Dies with its parent. Call from a single-threaded process: fork(2).
class ShardProcess {
 public:
  /// Forks. In the child, `prepare` runs at once and `count` when release() is called in the parent; what
  /// either throws reaches the parent as ShardLost. Throws std::system_error if there can be no more
  /// processes.
  ShardProcess(std::function<void()> const& prepare, std::function<Counts()> const& count);
  ShardProcess(ShardProcess&& other) noexcept;
  ShardProcess& operator=(ShardProcess&&) = delete;
  /// Kills the child if it still runs, and reaps it.
  ~ShardProcess();

  /// Waits until the child stands ready. Throws ShardLost.
  void wait_ready();
  /// Lets the child count.
  void release();
  /// Waits for the counts and takes them. Throws ShardLost.
  Counts take_counts();
  /// Lets the child end, reaps it, and returns how many bytes of memory it did not share. Throws ShardLost.
  std::uint64_t finish();

 private:
  void wait_for(char expected);
  [[noreturn]] void lost(std::string const& what);
  pid_t pid_ = -1;
  int socket_ = -1;  // the words of both sides, a byte each
  int shared_ = -1;  // the counts (or what was thrown), and the child's memory
};

}  // namespace tally
