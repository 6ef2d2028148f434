#include "models/runtime/io/uring.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "workloads/base/errno_failure.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {
namespace {

/// More requests than a turn of the loop makes, as a rule; if it makes more, they go in several calls.
constexpr unsigned kRequests = 1024;
/// More completions than come between two turns, as a rule; the kernel keeps more than these aside.
constexpr unsigned kCompletions = 8192;
constexpr int kBufferGroup = 0;
constexpr std::size_t kPage = 4096;

/// The best of the ways to set up a ring that the kernel knows: completions are made ready in the waiting
/// thread (6.1), or at least without interrupting it (6.0). It stays disabled until its thread is known.
int set_up(io_uring& ring) {
  int error = 0;
  for (unsigned const way :
       {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN, IORING_SETUP_COOP_TASKRUN}) {
    io_uring_params params{};
    params.flags = way | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
    params.cq_entries = kCompletions;
    error = -io_uring_queue_init_params(kRequests, &ring, &params);
    if (error != EINVAL) break;
  }
  return error;
}

std::string first_line_of(char const* path) {
  std::string line;
  std::getline(std::ifstream(path) >> std::ws, line);
  return line;
}

/// The reason, and what to look at.
std::string explain(std::system_error const& error) {
  std::string const why = error.what();
  switch (error.code().value()) {
    case ENOSYS:
      return why + " (this kernel has no io_uring, or what confines this process hides it)";
    case EPERM:
    case EACCES:
      if (std::string const disabled = first_line_of("/proc/sys/kernel/io_uring_disabled");
          !disabled.empty() && disabled != "0")
        return why + " (the sysctl kernel.io_uring_disabled is " + disabled + ")";
      return why + " (what confines this process, such as a container's seccomp filter, forbids it)";
    case EINVAL:
      return why + " (it needs Linux 6.0)";
    case ENOMEM:
      return why + " (memory that may be locked: 'ulimit -l')";
    default:
      return why;
  }
}

/// Receives a byte in the way that loops do. Throws std::system_error.
void try_out() {
  Uring ring({.count = 2, .bytes = kPage});
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) fail_with_error(errno, "socketpair");
  OwnedFd const ours(pair[0]), theirs(pair[1]);
  ring.begin();
  Uring::prepare_receive(ring.next(), ours.get());
  if (::send(theirs.get(), "x", 1, MSG_NOSIGNAL) != 1) fail_with_error(errno, "send");
  int received = 0;
  for (int waits = 0; waits < 100 && received == 0; ++waits) {
    ring.wait(std::chrono::milliseconds(10));
    ring.reap([&](io_uring_cqe const& completion) {
      if (received == 0) received = completion.res;
    });
  }
  if (received < 0) fail_with_error(-received, "multishot receive");
  if (received != 1) fail_with_error(ETIMEDOUT, "multishot receive");
}

}  // namespace

Uring::Uring(ReceiveBuffers buffers) : buffers_(buffers) {
  if (int const error = set_up(ring_)) fail_with_error(error, "io_uring_setup");
  try {
    register_buffers();
  } catch (...) {
    io_uring_queue_exit(&ring_);
    if (memory_ != nullptr) ::munmap(memory_, memory_bytes_);
    throw;
  }
}

void Uring::register_buffers() {
  buffers_begin_ = (buffers_.count * sizeof(io_uring_buf) + kPage - 1) / kPage * kPage;
  memory_bytes_ = buffers_begin_ + buffers_.count * buffers_.bytes + kReadableBeyond;
  void* const memory =
      ::mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail_with_error(errno, "buffers of a ring");
  memory_ = static_cast<char*>(memory);
  provided_ = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_ring_init(provided_);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
  registration.ring_entries = buffers_.count;
  registration.bgid = kBufferGroup;
  if (int const error = -io_uring_register_buf_ring(&ring_, &registration, 0))
    fail_with_error(error, "io_uring_register_buf_ring");
  for (std::uint32_t i = 0; i < buffers_.count; ++i) give_back(i);
}

Uring::~Uring() {
  if (begun_) {
    io_uring_sync_cancel_reg all{};
    all.fd = -1;
    all.flags = IORING_ASYNC_CANCEL_ANY;
    all.timeout = {.tv_sec = -1, .tv_nsec = -1};
    // Refused where another thread had begun it: that one has ended by now, and what it had under way with
    // it.
    io_uring_register_sync_cancel(&ring_, &all);
  }
  io_uring_queue_exit(&ring_);
  ::munmap(memory_, memory_bytes_);
}

void Uring::begin() {
  if (begun_) return;
  // By system call: liburing 2.3 forgets to export its io_uring_enable_rings().
  if (::syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) != 0)
    fail_with_error(errno, "io_uring_register");
  begun_ = true;
}

io_uring_sqe* Uring::next() noexcept {
  io_uring_sqe* request = io_uring_get_sqe(&ring_);
  if (request == nullptr && begun_ && io_uring_submit(&ring_) > 0) request = io_uring_get_sqe(&ring_);
  return request;
}

void Uring::wait(std::optional<std::chrono::nanoseconds> timeout) {
  int result;
  if (!timeout) {
    result = io_uring_submit_and_wait(&ring_, 1);
  } else if (timeout->count() <= 0) {
    result = io_uring_submit_and_get_events(&ring_);
  } else {
    auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(*timeout);
    __kernel_timespec wait{.tv_sec = seconds.count(), .tv_nsec = (*timeout - seconds).count()};
    io_uring_cqe* completion;
    result = io_uring_submit_and_wait_timeout(&ring_, &completion, 1, &wait, nullptr);
  }
  // Busy or short of memory: what was not taken is still in the queue, and goes once completions have been
  // looked at.
  if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY && result != -EAGAIN)
    fail_with_error(-result, "io_uring_enter");
}

void Uring::prepare_receive(io_uring_sqe* request, int fd) noexcept {
  io_uring_prep_recv_multishot(request, fd, nullptr, 0, 0);
  request->flags |= IOSQE_BUFFER_SELECT;
  request->buf_group = kBufferGroup;
}

void Uring::give_back(std::uint32_t index) noexcept {
  io_uring_buf_ring_add(provided_, buffer(index), static_cast<unsigned>(buffers_.bytes),
                        static_cast<unsigned short>(index), io_uring_buf_ring_mask(buffers_.count), 0);
  io_uring_buf_ring_advance(provided_, 1);
}

std::string const& why_no_uring() {
  static std::string const why = [] {
    try {
      try_out();
      return std::string();
    } catch (std::system_error const& error) {
      return explain(error);
    }
  }();
  return why;
}

}  // namespace tally
