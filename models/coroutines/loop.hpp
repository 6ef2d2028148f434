// What the coroutines model runs on: a task type, and an event loop per worker thread.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

namespace tally {

/// A coroutine that runs to its end on its own once started; its frame is freed by its owner. What it throws
/// is for its owner to rethrow. Starts suspended.
class Task {
 public:
  struct promise_type {
    std::exception_ptr failure;
    Task get_return_object() noexcept {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { failure = std::current_exception(); }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }
  std::coroutine_handle<> handle() const noexcept { return handle_; }
  bool done() const noexcept { return handle_.done(); }
  /// Throws what the coroutine threw, if it did.
  void rethrow() const {
    if (handle_.promise().failure) std::rethrow_exception(handle_.promise().failure);
  }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

/// Resumes coroutines on one thread: those scheduled from this thread in order, and those posted by others.
class CoroutineLoop {
 public:
  /// To be resumed after those already scheduled. The loop's own thread.
  void schedule(std::coroutine_handle<> coroutine) { ready_.push_back(coroutine); }

  /// To be resumed on this loop's thread. Any thread.
  void post(std::coroutine_handle<> coroutine) {
    {
      std::scoped_lock const lock(mutex_);
      inbox_.push_back(coroutine);
    }
    posted_.fetch_add(1, std::memory_order_release);
    posted_.notify_one();  // no system call unless the loop sleeps
  }

  /// Somebody else wants to run here: a coroutine that has run long should let it.
  bool others_ready() const noexcept {
    return next_ < batch_.size() || !ready_.empty() || posted_.load(std::memory_order_relaxed) != taken_;
  }

  /// Resumes coroutines until each of `tasks` is done; sleeps while none is ready.
  void run_until_done(std::vector<Task> const& tasks) {
    for (;;) {
      take_posted();
      // A batch at a time: a coroutine that schedules itself again comes after those that were posted
      // meanwhile.
      batch_.swap(ready_);
      for (next_ = 0; next_ < batch_.size();) batch_[next_++].resume();
      batch_.clear();
      bool all_done = true;
      for (Task const& task : tasks) all_done = all_done && task.done();
      if (all_done) return;
    }
  }

 private:
  void take_posted() {
    if (ready_.empty()) posted_.wait(taken_, std::memory_order_acquire);
    if (posted_.load(std::memory_order_acquire) == taken_) return;
    std::scoped_lock const lock(mutex_);
    taken_ = posted_.load(std::memory_order_acquire);
    ready_.insert(ready_.end(), inbox_.begin(), inbox_.end());
    inbox_.clear();
  }

  std::vector<std::coroutine_handle<>> batch_;  // being resumed, up to next_
  std::vector<std::coroutine_handle<>> ready_;
  std::size_t next_ = 0;
  std::uint32_t taken_ = 0;
  alignas(64) std::atomic<std::uint32_t> posted_{0};
  std::mutex mutex_;
  std::vector<std::coroutine_handle<>> inbox_;
};

}  // namespace tally
