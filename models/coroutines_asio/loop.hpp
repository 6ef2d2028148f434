// What the coroutines_asio model runs on: Boost.Asio's coroutines and event loop.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/system/error_code.hpp>
#include <exception>
#include <utility>

namespace tally {

namespace asio = boost::asio;

/// The executor of an io_context itself. The default, any_io_executor, hides which it is, at the price of
/// virtual calls in every operation.
using AsioExecutor = asio::io_context::executor_type;

/// A coroutine that an AsioLoop runs. In it, operations are awaited with the token asio::deferred: the
/// operation is then the awaitable, without the frame of its own that asio::use_awaitable allocates for each.
using Awaitable = asio::awaitable<void, AsioExecutor>;

/// An io_context for one thread, and what becomes of coroutines that fail.
class AsioLoop {
 public:
  enum class Used {
    by_one_thread,     ///< which makes, runs and destroys it: it keeps no locks
    by_other_threads,  ///< which post to it
  };
  explicit AsioLoop(Used used)
      : context_(used == Used::by_one_thread ? BOOST_ASIO_CONCURRENCY_HINT_UNSAFE : 1) {}

  asio::io_context& context() noexcept { return context_; }

  /// The coroutine begins in run(): at once, if called there. When it has ended without an exception, `then`
  /// is called. What both refer to must outlive this.
  template <class Then>
  void spawn(Awaitable coroutine, Then then) {
    asio::co_spawn(context_, std::move(coroutine), [this, then](std::exception_ptr failure) {
      if (!failure) return then();
      if (failure_) return;
      failure_ = std::move(failure);
      context_.stop();
    });
  }
  void spawn(Awaitable coroutine) {
    spawn(std::move(coroutine), [] {});
  }

  /// Returns when all coroutines have ended. Throws as soon as one has ended by an exception, which it is:
  /// the others then stay where they are, until this is destroyed. Once, on the loop's thread.
  void run() {
    context_.run();
    // Thrown here and not out of a handler: Asio would make one exception of several, without their reasons.
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
  asio::io_context context_;
};

/// Has Asio wait for a descriptor that others own and read ("reactor-style operations" in its manual). It
/// must go before the descriptor is closed, and is of its loop's thread alone.
class WatchedDescriptor {
 public:
  /// Throws boost::system::system_error. Makes the descriptor non-blocking, if it is not.
  WatchedDescriptor(AsioLoop& loop, int fd) : descriptor_(loop.context(), fd) {
    // Now, and not at the first wait, when the watch runs. Should it fail, the wait tries again, and says so.
    boost::system::error_code ignored;
    descriptor_.non_blocking(true, ignored);
  }
  WatchedDescriptor(WatchedDescriptor&&) = default;
  WatchedDescriptor& operator=(WatchedDescriptor&&) = delete;
  /// A wait that is under way ends as if cancelled.
  ~WatchedDescriptor() { descriptor_.release(); }

  /// Completes with an error_code when there is something to read, an end or an error included, or after
  /// cancel(). Asio is edge-triggered but registers anew for each wait, and so reports what was left unread.
  template <class Token>
  auto async_readable(Token&& token) {
    return descriptor_.async_wait(asio::posix::descriptor_base::wait_read, std::forward<Token>(token));
  }
  /// Ends a wait with operation_aborted; does nothing if none is under way, or one that is about to complete.
  void cancel() {
    boost::system::error_code none;  // it is open
    descriptor_.cancel(none);
  }

 private:
  asio::posix::basic_stream_descriptor<AsioExecutor> descriptor_;
};

}  // namespace tally
