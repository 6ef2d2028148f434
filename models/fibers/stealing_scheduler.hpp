// A scheduler of Boost.Fiber whose threads steal fibers from each other.
#pragma once

#include <array>
#include <boost/fiber/algo/algorithm.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/scheduler.hpp>
#include <boost/fiber/type.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "models/runtime/work_stealing.hpp"

namespace tally {

/// Of 64 fibers the tops of the stacks, which is what is touched, fill a first-level cache.
inline constexpr StealingTuning kFiberTuning{.read_at_once = 64, .take_at_once = 16};

/// Fibers that are ready to run, in a queue for each thread.
using ReadyFibers = WorkerQueues<boost::fibers::context*, 2 * kFiberTuning.read_at_once>;

/// Runs the fibers in its thread's queue, and then those that no other thread may have: its main fiber, which
/// calls steal(), and the library's dispatcher. As the library's work_stealing, which steals one fiber at a
/// time from a thread that it draws, and sleeps and wakes through a mutex; the dispatcher, which frees what
/// has ended, gets its turn whenever no other fiber is ready.
class StealingScheduler final : public boost::fibers::algo::algorithm {
  using Context = boost::fibers::context;

 public:
  /// `ready` must outlive the thread, which is `worker`, from 0.
  StealingScheduler(ReadyFibers& ready, int worker)
      : ready_(ready), worker_(static_cast<std::size_t>(worker)) {}

  void awakened(Context* fiber) noexcept override {
    if (fiber->is_context(boost::fibers::type::pinned_context)) return fiber->ready_link(own_);
    fiber->detach();
    if (ready_.try_push(worker_, fiber)) return;
    Context::active()->attach(fiber);
    fiber->ready_link(own_);
  }
  Context* pick_next() noexcept override {
    if (next_ == taken_) {
      next_ = 0;
      taken_ = ready_.try_take(worker_, fibers_);
    }
    if (next_ < taken_) {
      Context* const fiber = fibers_[next_++];
      Context::active()->attach(fiber);
      return fiber;
    }
    if (own_.empty()) return nullptr;
    Context* const fiber = &own_.front();
    own_.pop_front();
    return fiber;
  }
  /// Takes fibers from another thread's queue, to run next. Whether there were any.
  bool steal() noexcept {
    if (next_ < taken_) return true;
    next_ = 0;
    taken_ = ready_.try_steal(worker_, fibers_);
    return taken_ > 0;
  }
  bool has_ready_fibers() const noexcept override {
    return next_ < taken_ || !own_.empty() || !ready_.empty();
  }
  void suspend_until(std::chrono::steady_clock::time_point const& until) noexcept override {
    std::unique_lock lock(mutex_);
    auto const notified = [this] { return notified_; };
    if (until == std::chrono::steady_clock::time_point::max())
      wake_.wait(lock, notified);
    else
      wake_.wait_until(lock, until, notified);
    notified_ = false;
  }
  void notify() noexcept override {
    {
      std::scoped_lock const lock(mutex_);
      notified_ = true;
    }
    wake_.notify_one();
  }

 private:
  ReadyFibers& ready_;
  std::size_t worker_;
  std::array<Context*, kFiberTuning.take_at_once> fibers_{};
  std::size_t next_ = 0, taken_ = 0;
  boost::fibers::scheduler::ready_queue_type own_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool notified_ = false;
};

}  // namespace tally
