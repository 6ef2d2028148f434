// What fibers that wait for sockets run on: a scheduler of Boost.Fiber whose thread sleeps in a reactor.
#pragma once

#include <boost/fiber/algo/algorithm.hpp>
#include <boost/fiber/context.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "models/runtime/io/reactor.hpp"

namespace tally {

/// A round-robin scheduler whose thread, when no fiber is ready, waits in the reactor. (Upstream's example
/// for Asio polls with a timer instead, and spins.)
class ReactorScheduler final : public boost::fibers::algo::algorithm {
 public:
  /// Shares the reactor: a thread's scheduler outlives what its function holds.
  explicit ReactorScheduler(std::shared_ptr<Reactor> reactor) : reactor_(std::move(reactor)) {}
  void awakened(boost::fibers::context* fiber) noexcept override { fiber->ready_link(ready_); }
  boost::fibers::context* pick_next() noexcept override {
    if (ready_.empty()) return nullptr;
    boost::fibers::context* const next = &ready_.front();
    ready_.pop_front();
    return next;
  }
  bool has_ready_fibers() const noexcept override { return !ready_.empty(); }
  void suspend_until(std::chrono::steady_clock::time_point const& until) noexcept override {
    if (until == std::chrono::steady_clock::time_point::max()) {
      reactor_->run_once(std::nullopt);
    } else {
      reactor_->run_once(until - std::chrono::steady_clock::now());
    }
  }
  void notify() noexcept override { reactor_->interrupt(); }

 private:
  std::shared_ptr<Reactor> reactor_;
  boost::fibers::scheduler::ready_queue_type ready_;
};

/// Stacks with a guard page each. One page does not hold a fiber's control block and a system call's frames;
/// of more, only what is touched is resident.
inline constexpr std::size_t kStackBytes = 32 * 1024;

}  // namespace tally
