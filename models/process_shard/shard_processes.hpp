// Child processes that work on a shard each and hand their counts back through shared memory.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "models/model.hpp"
#include "models/process_shard/shared_futex.hpp"
#include "workloads/counting/counts.hpp"

namespace tally {

/// A child that ended before it handed over its counts; what() says how it ended, or what it threw.
struct ShardLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Processes that each prepare, wait for the word, count, and hand their counts back through shared memory.
/// They wait on shared futexes (futex(2), FUTEX_WAIT without FUTEX_PRIVATE_FLAG; libstdc++'s atomic waiting
/// does not work between processes), so that a shard takes no descriptor in its siblings: thousands may be
/// forked. All die with their parent. Call from a single-threaded process: fork(2).
class ShardProcesses {
 public:
  /// Makes empty counts.
  using EmptyTally = std::function<Counts()>;
  /// Room for `shards` of them, each of which counts into what `empty_tally` makes; where counts are dense,
  /// the rows of the first `windows` windows lie in memory that the processes share, and only what is in
  /// others is sent. Throws std::system_error.
  explicit ShardProcesses(std::size_t shards, EmptyTally empty_tally, std::uint64_t windows = 0);
  /// Kills those that still run, and reaps all.
  ~ShardProcesses();
  ShardProcesses(ShardProcesses const&) = delete;
  ShardProcesses& operator=(ShardProcesses const&) = delete;

  /// A word in memory that this process and the shards share, 0 at first, for whatever the model needs.
  SharedWord& word() noexcept;
  /// Forks one more. In the child, `prepare` runs at once and `count` after release() in the parent; what
  /// either throws reaches the parent as ShardLost. Throws std::system_error if there can be no more
  /// processes.
  void add(std::function<void()> const& prepare, std::function<void(Counts&)> const& count);
  /// Waits until all stand ready. Throws ShardLost.
  void wait_ready();
  /// Lets all count.
  void release();
  /// Throws ShardLost if any shard threw or ended early.
  void check();
  /// Waits for all counts and returns them merged. Throws ShardLost.
  Counts merged();
  /// Lets all end, reaps them, and returns how many bytes of memory they did not share. Throws ShardLost.
  std::uint64_t finish();

 private:
  enum class Stage : std::uint32_t { preparing, ready, counted, reported, threw };
  struct Slot;
  struct Shared;

  Slot& slot(std::size_t shard) const;
  std::span<std::uint64_t> rows_of(std::size_t shard) const;
  Stage stage(std::size_t shard) const;
  [[noreturn]] void run_child(std::size_t shard, std::function<void()> const& prepare,
                              std::function<void(Counts&)> const& count);
  void reach(Slot& slot, Stage stage);
  void wait_for_word(std::uint32_t word);
  void say(std::uint32_t word);
  void hand_over(Slot& slot, void const* data, std::size_t size);
  std::vector<std::byte> handed_over(Slot const& slot) const;
  void wait_until(std::size_t shard, Stage wanted);
  void check_threw(std::size_t shard) const;

  std::size_t room_;
  EmptyTally empty_tally_;
  std::size_t row_words_ = 0;            // of one shard
  std::shared_ptr<std::uint64_t> rows_;  // of all shards, which the merged counts keep
  Shared* shared_ = nullptr;             // of all the processes
  int counts_ = -1;                      // a memfd: what shards hand over, one after the other
  std::vector<pid_t> pids_;              // -1 once reaped
};

/// Lets the shards, once all stand ready, count what is theirs, with `meanwhile` run here, and merges it,
/// while the watch runs. Throws ShardLost, and what `meanwhile` throws.
Counts time_shards(ShardProcesses& shards, Setup const& setup, Stopwatch& watch,
                   std::function<void()> const& meanwhile = nullptr);

}  // namespace tally
