// The lookup service's loop: time, sockets and connections.
#include "workloads/lookup/lookup_server.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>

namespace tally {
namespace {

/// Connections accepted before others are served again.
constexpr int kAcceptsAtOnce = 16;
/// How long accepting rests when the kernel has no memory or no descriptors for it.
constexpr std::int64_t kAcceptRest_ns = 10'000'000;
/// Larger than the longest incomplete request, which stands in front of what comes.
constexpr std::size_t kReceiveBytes = kMaxRespRequestBytes + 64 * 1024;

std::int64_t clock_ns() noexcept { return std::chrono::steady_clock::now().time_since_epoch().count(); }

constexpr std::uint64_t tag_of(int fd, std::uint32_t generation) noexcept {
  return static_cast<std::uint64_t>(generation) << 32 | static_cast<std::uint32_t>(fd);
}

/// What is watched for on a connection, each change reported once. Level-triggered, the kernel would look at
/// every reported socket once more, to find it emptied; and the watch would have to change with what the
/// connection waits for.
epoll_event connection_event(int fd, std::uint32_t generation) noexcept {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = tag_of(fd, generation);
  return event;
}

[[noreturn]] void throw_errno(char const* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void add_to_epoll(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag_of(fd, 0);
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("lookup service: epoll_ctl");
}

/// Lets this thread's sleeps end when they should: the kernel may otherwise add 50 us to each.
class ExactSleeps {
 public:
  ExactSleeps() noexcept : before_(::prctl(PR_GET_TIMERSLACK)) { ::prctl(PR_SET_TIMERSLACK, 1UL); }
  ~ExactSleeps() {
    if (before_ > 0) ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(before_));
  }
  ExactSleeps(ExactSleeps const&) = delete;
  ExactSleeps& operator=(ExactSleeps const&) = delete;

 private:
  int before_;
};

}  // namespace

LookupServer::LookupServer(ServiceConfig const& config, int listening_socket, int stop_fd,
                           ServiceControl& control)
    : config_(config),
      keys_(config.keys),
      control_(control),
      listening_socket_(listening_socket),
      stop_fd_(stop_fd),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      spare_(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
      in_(kReceiveBytes) {
  if (epoll_.get() < 0) throw_errno("lookup service: epoll_create1");
  add_to_epoll(epoll_.get(), listening_socket_);
  if (stop_fd_ >= 0) add_to_epoll(epoll_.get(), stop_fd_);
}

LookupServer::~LookupServer() {
  for (std::size_t fd = 0; fd < connections_.size(); ++fd)
    if (connections_[fd].open) close(static_cast<int>(fd));
}

void LookupServer::run() {
  ExactSleeps const exact_sleeps;
  pass_began_ns_ = clock_ns();
  while (!stop_) serve_once();
}

/// One pass: what is ready, and what is due. A pass that found nothing to do is not work, and neither is
/// sleep.
void LookupServer::serve_once() {
  bool const spin = config_.spin && open_connections_ > 0;
  worked_ = false;
  std::size_t const n = wait_for_events();
  std::int64_t const woke_ns = clock_ns();
  if (!spin) pass_began_ns_ = woke_ns;
  for (std::size_t i = 0; i < n; ++i) handle(ready_[i].data.u64, ready_[i].events);
  run_due_timers(n > 0 ? clock_ns() : woke_ns);
  if (accept_again_ns_ != 0) resume_accepting(woke_ns);
  std::int64_t const ended_ns = worked_ ? clock_ns() : woke_ns;
  if (worked_) add_relaxed(control_.busy_ns, ended_ns - pass_began_ns_);
  pass_began_ns_ = ended_ns;
}

/// How long there is nothing to do by the clock; -1 for ever.
std::int64_t LookupServer::sleep_ns() const {
  if (config_.spin && open_connections_ > 0) return 0;
  std::int64_t until = std::numeric_limits<std::int64_t>::max();
  if (!timers_.empty()) until = timers_.top().due_ns;
  if (accept_again_ns_ != 0) until = std::min(until, accept_again_ns_);
  if (until == std::numeric_limits<std::int64_t>::max()) return -1;
  return std::max<std::int64_t>(0, until - clock_ns());
}

std::size_t LookupServer::wait_for_events() {
  std::int64_t const ns = sleep_ns();
  int const room = static_cast<int>(ready_.size());
  int n = 0;
  if (ns > 0 && has_pwait2_) {
    timespec const timeout{ns / 1'000'000'000, ns % 1'000'000'000};
    n = ::epoll_pwait2(epoll_.get(), ready_.data(), room, &timeout, nullptr);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
      has_pwait2_ = false;
      n = 0;
    }
  } else {
    // Rounded up: a reply may be a millisecond late where there is no better call, never early; nor is this a
    // spin.
    std::int64_t const ms = ns < 0 ? -1 : std::min<std::int64_t>((ns + 999'999) / 1'000'000, 1'000'000);
    n = ::epoll_wait(epoll_.get(), ready_.data(), room, static_cast<int>(ms));
  }
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno != EINTR) throw_errno("lookup service: epoll_wait");
  return 0;
}

void LookupServer::handle(std::uint64_t tag, std::uint32_t events) {
  worked_ = true;
  int const fd = static_cast<int>(tag & 0xffffffff);
  auto const generation = static_cast<std::uint32_t>(tag >> 32);
  if (generation == 0) {
    if (fd == stop_fd_) {
      stop_ = true;
    } else {
      accept_some();
    }
    return;
  }
  // The connection may have gone, and another come, since the event was reported.
  auto const index = static_cast<std::size_t>(fd);
  if (!connections_[index].open || connections_[index].generation != generation) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return close(fd);
  if ((events & EPOLLOUT) != 0 && connections_[index].backlog &&
      !connections_[index].backlog->unsent.empty()) {
    std::string const unsent = std::exchange(connections_[index].backlog->unsent, {});
    if (!send_bytes(fd, unsent)) return;
    advance(fd, clock_ns());
    if (!connections_[index].open) return;
  }
  if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) receive(fd, (events & EPOLLRDHUP) != 0);
}

void LookupServer::run_due_timers(std::int64_t now_ns) {
  while (!timers_.empty() && timers_.top().due_ns <= now_ns) {
    Timer const timer = timers_.top();
    timers_.pop();
    Connection& connection = connections_[static_cast<std::size_t>(timer.fd)];
    if (!connection.open || connection.generation != timer.generation) continue;
    worked_ = true;
    connection.timer_set = false;
    advance(timer.fd, now_ns);
    now_ns = clock_ns();
  }
}

void LookupServer::accept_some() {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    int const fd = ::accept4(listening_socket_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      open(fd);
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return;
      case EMFILE:
      case ENFILE:
        refuse_one();
        return;
      case ENOBUFS:
      case ENOMEM:
        pause_accepting();
        return;
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
        throw_errno("lookup service: accept");
      default:
        break;  // That connection failed before it was accepted; the next may not.
    }
  }
}

/// Out of descriptors: gives up the spare one, so that a client hears why it is not served instead of waiting
/// for ever.
void LookupServer::refuse_one() {
  spare_.reset();
  OwnedFd client(::accept4(listening_socket_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client.get() < 0) {
    pause_accepting();
  } else {
    constexpr std::string_view kRefusal = "-ERR max number of clients reached\r\n";
    [[maybe_unused]] auto const sent =
        ::send(client.get(), kRefusal.data(), kRefusal.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    client.reset();
  }
  spare_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/// Stops listening for a while: the waiting connections would be reported again at once, for nothing.
void LookupServer::pause_accepting() {
  epoll_event event{};
  event.data.u64 = tag_of(listening_socket_, 0);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listening_socket_, &event) != 0)
    throw_errno("lookup service: epoll_ctl");
  accept_again_ns_ = clock_ns() + kAcceptRest_ns;
}

void LookupServer::resume_accepting(std::int64_t now_ns) {
  if (now_ns < accept_again_ns_) return;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag_of(listening_socket_, 0);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listening_socket_, &event) != 0)
    throw_errno("lookup service: epoll_ctl");
  accept_again_ns_ = 0;
}

void LookupServer::open(int fd) {
  auto const index = static_cast<std::size_t>(fd);
  if (index >= connections_.size()) connections_.resize(index + 1);
  int const one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  Connection& connection = connections_[index];
  // 0 marks the descriptors that are not connections.
  if (++connection.generation == 0) ++connection.generation;
  epoll_event event = connection_event(fd, connection.generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    ::close(fd);
    return;
  }
  connection.open = true;
  ++open_connections_;
  control_.connections.store(open_connections_, std::memory_order_relaxed);
}

void LookupServer::close(int fd) {
  Connection& connection = connections_[static_cast<std::size_t>(fd)];
  std::uint32_t const generation = connection.generation;
  connection = Connection{};
  connection.generation = generation;
  ::close(fd);
  --open_connections_;
  control_.connections.store(open_connections_, std::memory_order_relaxed);
}

/// One recv for each report of new bytes: a short one has emptied the socket, and a second to see so would
/// cost every request a system call. What it may have left, epoll is asked for again: bytes that did not fit,
/// or an end of the stream that came together with bytes (`ended`).
void LookupServer::receive(int fd, bool ended) {
  Connection& connection = connections_[static_cast<std::size_t>(fd)];
  // advance() asks for a report when there is room again.
  if (connection.full || connection.ending) return;
  std::size_t kept = 0;
  if (connection.backlog) {
    kept = connection.backlog->unread.size();
    std::copy_n(connection.backlog->unread.data(), kept, in_.data());
  }
  std::size_t const room = in_.size() - kept;
  ssize_t const n = ::recv(fd, in_.data() + kept, room, 0);
  if (n <= 0) {
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) close(fd);
    return;
  }
  // Read after recv: no reply may be early, reckoned from when its request was sent.
  std::int64_t const now_ns = clock_ns();
  take_requests(connection, {in_.data(), kept + static_cast<std::size_t>(n)}, now_ns);
  advance(fd, now_ns);
  if ((ended || static_cast<std::size_t>(n) == room) && connection.open) report_again(fd);
}

/// Sends `bytes`, keeping what the socket does not take. False if the connection broke, and is closed.
bool LookupServer::send_bytes(int fd, std::string_view bytes) {
  ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    close(fd);
    return false;
  }
  n = std::max<ssize_t>(n, 0);
  if (static_cast<std::size_t>(n) < bytes.size()) {
    backlog(connections_[static_cast<std::size_t>(fd)])
        .unsent.assign(bytes.substr(static_cast<std::size_t>(n)));
    report_again(fd);
  }
  return true;
}

/// Has epoll report what is ready on the connection although it was reported before.
void LookupServer::report_again(int fd) {
  epoll_event event = connection_event(fd, connections_[static_cast<std::size_t>(fd)].generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) throw_errno("lookup service: epoll_ctl");
}

}  // namespace tally
