// The reactor's loop over a ring of io_uring.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "models/runtime/io/ready_handler.hpp"
#include "models/runtime/io/uring.hpp"

namespace tally {

/// As Reactor has it. Of handlers that want bytes, a multishot receive takes what comes into provided
/// buffers, where it stays until the handler receives it; of those that want readiness, a poll is asked for
/// again each time that they have been told, so that they are told as a level-triggered loop would. What all
/// handlers of a turn ask for or send goes to the kernel with the next turn's wait, in one system call.
class UringLoop {
 public:
  /// Throws std::system_error.
  explicit UringLoop(ReceiveBuffers buffers);
  UringLoop(UringLoop const&) = delete;
  UringLoop& operator=(UringLoop const&) = delete;

  void attach() noexcept { thread_ = std::this_thread::get_id(); }
  void add(ReadyHandler& handler, Wanted wanted);
  void resume(ReadyHandler& handler);
  void forget(ReadyHandler const& handler) noexcept;
  void run_once(std::optional<std::chrono::nanoseconds> timeout);

  /// For Transfer. At most `most` bytes, which are there until the next receive() or run_once().
  Received receive(std::uint32_t slot, std::size_t most);
  /// False if it is not to go by the ring: from another thread than the loop's, or when the ring is full.
  bool send(std::uint32_t slot, std::span<char const> bytes);
  bool more(std::uint32_t slot) const noexcept;
  void settle(std::uint32_t slot);

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  /// What a completion is of.
  enum class Kind : std::uint64_t { arrival, send, cancel };

  /// A handler's registration, and what has come for it. It is used again when the handler has gone: then
  /// completions of an earlier generation are of nobody.
  struct Slot {
    ReadyHandler* handler = nullptr;  ///< null: free
    int fd = -1;
    std::uint32_t generation = 0;
    Wanted wanted = Wanted::readiness;
    bool watched = false;                       ///< wants to be told
    bool armed = false;                         ///< its receive or poll is with the kernel
    bool to_arm = false;                        ///< stands in to_arm_
    bool due = false;                           ///< stands in due_
    bool ready = false;                         ///< polled to be readable, and not yet told
    bool ended = false;                         ///< nothing comes after what is held
    int error = 0;                              ///< with which it has ended
    std::uint32_t first = kNone, last = kNone;  ///< buffers held, in their order
    /// What is being sent: the kernel may take it some time after it was asked to.
    std::array<char, kMostBytesToSend> request;

    bool anything() const noexcept { return ready || ended || first != kNone; }
  };
  /// A buffer that holds what nobody has received yet.
  struct Held {
    std::uint32_t next = kNone, begin = 0, end = 0;
  };

  bool mine() const noexcept { return thread_ == std::this_thread::get_id(); }
  std::uint64_t tag(Kind kind, std::uint32_t slot) const noexcept;
  void want(std::uint32_t slot);
  void make_due(std::uint32_t slot);
  void arm_all();
  void cancel(std::uint32_t slot) noexcept;
  void reap();
  void complete(io_uring_cqe const& completion);
  void arrived(std::uint32_t slot, io_uring_cqe const& completion);
  void tell();
  void drop_held(Slot& slot) noexcept;
  void give_back_lent() noexcept;

  Uring ring_;
  std::thread::id thread_ = std::this_thread::get_id();
  std::deque<Slot> slots_;  // whose addresses stay
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> to_arm_;
  std::vector<std::uint32_t> due_;  // to be told, from told_ on
  std::size_t told_ = 0;
  std::vector<Held> held_;  // by buffer
  std::uint32_t lent_ = kNone;
};

}  // namespace tally
