// A scheduler of Boost.Fiber that runs fibers made on any thread.
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

#include "models/runtime/bounded_queue.hpp"

namespace tally {

/// Fibers that are ready to run on whichever of the threads that share them.
class SharedFibers {
 public:
  /// So few that their stacks stay in a core's cache.
  static constexpr std::size_t kLength = 256;
  BoundedQueue<boost::fibers::context*, kLength> ready;
};

/// Runs shared fibers before its thread's own, which are the thread's main fiber and the library's
/// dispatcher. As the library's shared_work, whose one queue under a mutex costs twice as much a fiber; and
/// the dispatcher, which frees what has ended, gets its turn whenever no shared fiber is ready.
class SharingScheduler final : public boost::fibers::algo::algorithm {
  using Context = boost::fibers::context;

 public:
  /// `shared` must outlive the thread.
  explicit SharingScheduler(SharedFibers& shared) : shared_(shared) {}

  void awakened(Context* fiber) noexcept override {
    if (fiber->is_context(boost::fibers::type::pinned_context)) return fiber->ready_link(own_);
    fiber->detach();
    if (shared_.ready.try_push(fiber)) return;
    Context::active()->attach(fiber);
    fiber->ready_link(own_);
  }
  Context* pick_next() noexcept override {
    if (next_ == taken_) {
      next_ = 0;
      taken_ = shared_.ready.try_pop(fibers_);
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
  bool has_ready_fibers() const noexcept override {
    return next_ < taken_ || !own_.empty() || !shared_.ready.empty();
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
  /// Taken at once: a fiber that stalls its thread holds up so many less one.
  static constexpr std::size_t kFibersAtOnce = 16;

  SharedFibers& shared_;
  std::array<Context*, kFibersAtOnce> fibers_{};
  std::size_t next_ = 0, taken_ = 0;
  boost::fibers::scheduler::ready_queue_type own_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool notified_ = false;
};

}  // namespace tally
