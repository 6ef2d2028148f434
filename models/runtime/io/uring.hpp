// A ring of io_uring, and the buffers that the kernel receives into: what the loop over it and `limit` share.
#pragma once

#include <liburing.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace tally {

/// What the kernel may receive into before anybody has looked at it.
struct ReceiveBuffers {
  std::uint32_t count;  ///< a power of two, at most 32,768
  std::size_t bytes;    ///< of each
};
/// For replies of the lookup service, of which none is longer.
inline constexpr ReceiveBuffers kReplyBuffers{.count = 2048, .bytes = 64};
/// For what `ingest` receives: as many bytes as fit into a core's second-level cache.
inline constexpr ReceiveBuffers kStreamBuffers{.count = 64, .bytes = 16 * 1024};

/// Submission and completion queue, by liburing, with a ring of provided buffers
/// (io_uring_register_buf_ring(3)) that multishot receives take theirs from. One thread at a time.
class Uring {
 public:
  /// Throws std::system_error that says which step the kernel refused.
  explicit Uring(ReceiveBuffers buffers);
  /// Ends what is under way first, so that nothing is received into memory that is gone.
  ~Uring();
  Uring(Uring const&) = delete;
  Uring& operator=(Uring const&) = delete;

  /// The calling thread is the only one that submits from now on: what the kernel has to do for a completion
  /// it then does in that thread's wait (IORING_SETUP_DEFER_TASKRUN), and interrupts nothing else. Throws
  /// std::system_error.
  void begin();
  bool begun() const noexcept { return begun_; }

  /// A request to fill in, which goes to the kernel with the next wait(). Where the queue is full, those that
  /// stand in it go at once; null if the kernel takes none at this moment.
  io_uring_sqe* next() noexcept;
  /// Hands on all requests, and waits until there is a completion, or for `timeout` (none: for ever; zero:
  /// not at all), by one system call. Throws std::system_error.
  void wait(std::optional<std::chrono::nanoseconds> timeout);
  /// Hands on all requests, and does not wait. Should the kernel refuse, they go with the next wait().
  void submit() noexcept { io_uring_submit_and_get_events(&ring_); }
  /// Calls `take(io_uring_cqe const&)` for each completion that is there.
  template <class Take>
  void reap(Take&& take) {
    unsigned head;
    io_uring_cqe* completion;
    io_uring_for_each_cqe(&ring_, head, completion) {
      io_uring_cqe const copy = *completion;
      // One at a time: should `take` throw, the others are still there.
      io_uring_cq_advance(&ring_, 1);
      take(copy);
    }
  }

  /// Makes `request` a multishot receive from `fd` into provided buffers: a completion for each piece that
  /// comes, until one without IORING_CQE_F_MORE.
  static void prepare_receive(io_uring_sqe* request, int fd) noexcept;
  /// Whether the completion hands over a buffer, which is then to be given back.
  static bool has_buffer(io_uring_cqe const& completion) noexcept {
    return (completion.flags & IORING_CQE_F_BUFFER) != 0;
  }
  static std::uint32_t buffer_of(io_uring_cqe const& completion) noexcept {
    return completion.flags >> IORING_CQE_BUFFER_SHIFT;
  }
  /// So many bytes after a provided buffer may be read, whatever is in them.
  static constexpr std::size_t kReadableBeyond = 4096;
  /// A provided buffer.
  char* buffer(std::uint32_t index) const noexcept {
    return memory_ + buffers_begin_ + index * buffers_.bytes;
  }
  /// Nobody looks at what is in it any more.
  void give_back(std::uint32_t index) noexcept;
  ReceiveBuffers buffers() const noexcept { return buffers_; }

 private:
  void register_buffers();

  ReceiveBuffers buffers_;
  io_uring ring_{};
  char* memory_ = nullptr;  // the ring of buffers, and the buffers
  std::size_t memory_bytes_ = 0, buffers_begin_ = 0;
  io_uring_buf_ring* provided_ = nullptr;
  bool begun_ = false;
};

/// Why this kernel, or what confines this process, does not let io_uring receive as Uring does; empty if it
/// does. Found out once, by receiving.
std::string const& why_no_uring();

}  // namespace tally
