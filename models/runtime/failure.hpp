// The first exception of many workers, for the thread that answers for them.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

namespace tally {

/// Keeps the first exception thrown on any thread.
class FirstFailure {
 public:
  /// Runs `body`; keeps what it throws. False if it threw, or if another has failed before: then it is not
  /// run.
  template <class Body>
  bool guard(Body&& body) noexcept {
    if (failed()) return false;
    try {
      std::forward<Body>(body)();
      return true;
    } catch (...) {
      set(std::current_exception());
      return false;
    }
  }
  void set(std::exception_ptr failure) noexcept {
    std::scoped_lock const lock(mutex_);
    if (!first_) first_ = std::move(failure);
    failed_.store(true, std::memory_order_release);
  }
  bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  /// Throws the first failure, if there is one.
  void rethrow() const {
    if (failed()) std::rethrow_exception(first_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr first_;
  std::atomic<bool> failed_{false};
};

}  // namespace tally
