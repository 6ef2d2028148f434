// The threads of a model: they prepare, stand ready, work while the watch runs, and end together.
#pragma once

#include <functional>
#include <latch>
#include <thread>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"

namespace tally {

/// Threads that all stand ready before the first of them works. A thread that fails is waited for like any
/// other; one that cannot be started calls off those before it, so that nothing waits for what never comes.
///
///     WorkerThreads threads(n, [&](int worker, WorkerThreads::Self& self) {
///       …prepare…
///       if (!self.stand_ready()) return;
///       …work…
///       self.finish();
///       …what is not timed: destructors of what was prepared…
///     });
///     return time_workers(threads, watch, tallies);
class WorkerThreads {
 public:
  /// A worker's own side.
  class Self {
   public:
    /// Prepared: returns when all are, and the work may begin. False, for all of them, if some worker could
    /// not prepare: then there is no work.
    bool stand_ready();
    /// The work is done.
    void finish() noexcept;
    /// Where a worker keeps what it must not throw, or not yet.
    FirstFailure& failure() noexcept { return threads_.failure_; }

   private:
    friend WorkerThreads;
    explicit Self(WorkerThreads& threads) noexcept : threads_(threads) {}
    ~Self();
    Self(Self const&) = delete;
    Self& operator=(Self const&) = delete;
    void arrive() noexcept;
    WorkerThreads& threads_;
    bool arrived_ = false, finished_ = false;
  };
  using Body = std::function<void(int worker, Self& self)>;

  /// Starts `threads` threads, each of which runs `body` once with its number from 0. Throws
  /// std::system_error, with none left running, if one cannot be started.
  WorkerThreads(int threads, Body body);
  /// Calls off what has not been started, and joins.
  ~WorkerThreads();
  WorkerThreads(WorkerThreads const&) = delete;
  WorkerThreads& operator=(WorkerThreads const&) = delete;

  /// Waits until every worker stands ready or has failed.
  void wait_ready() const { ready_.wait(); }
  /// Lets them work; false if one of them could not prepare, and none will.
  bool start() noexcept;
  /// Waits until every worker has finished or failed.
  void wait_finished() const { finished_.wait(); }
  /// Waits for their ends. Throws the first failure.
  void join();

 private:
  void run(int worker);
  void release(bool called_off) noexcept;

  Body body_;
  FirstFailure failure_;
  std::latch ready_, go_{1}, finished_;
  bool released_ = false, called_off_ = false;
  std::vector<std::jthread> threads_;
};

/// Lets the workers work, and `meanwhile` run on the calling thread, while the watch runs; returns the sum of
/// `tallies`, of which there is at least one. Throws the first failure.
Counts time_workers(WorkerThreads& threads, Stopwatch& watch, std::vector<Counts>& tallies,
                    std::function<void()> const& meanwhile = nullptr);

/// `n` empty tallies of the stream's kind.
template <class Stream>
std::vector<Counts> empty_tallies(Stream const& stream, int n) {
  std::vector<Counts> tallies;
  tallies.reserve(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) tallies.push_back(stream.empty_tally());
  return tallies;
}

/// The sum of `tallies`, of which there is at least one.
Counts merged(std::vector<Counts>& tallies);

}  // namespace tally
