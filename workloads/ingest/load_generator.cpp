#include "workloads/ingest/load_generator.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <thread>
#include <utility>

#include "workloads/base/clock.hpp"
#include "workloads/text/event_lines.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

std::string reason(int error) { return std::strerror(error); }

constexpr bool is_loopback(std::uint32_t host) noexcept { return host >> 24 == 127; }

/// An address of loopback to connect from, another for each process: closed connections keep their ports for
/// a minute, and one address has 28,000 of them.
std::uint32_t own_loopback() noexcept {
  auto const number = static_cast<std::uint32_t>(::getpid());
  return 0x7f000001 | (1 + number % 250) << 8;
}

}  // namespace

double LoadAccount::offered_per_s() const noexcept {
  double const took_s = static_cast<double>(last_due_ns - began_ns) * 1e-9;
  return took_s > 0 ? static_cast<double>(events) / took_s : 0;
}

double LoadAccount::achieved_per_s() const noexcept {
  double const took_s = static_cast<double>(last_sent_ns - began_ns) * 1e-9;
  return took_s > 0 ? static_cast<double>(events) / took_s : 0;
}

LoadGenerator::LoadGenerator(LoadSchedule const& schedule, ServiceAddress const& server, LoadAccount& account,
                             bool spin)
    : schedule_(schedule),
      server_(server),
      account_(account),
      spin_(spin),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_.get() < 0) throw LoadFailed("no descriptor to wait for connections by: " + reason(errno));
  senders_.resize(static_cast<std::size_t>(schedule.spec().connections));
}

void LoadGenerator::connect() {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(server_.port);
  to.sin_addr.s_addr = htonl(server_.host);
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(own_loopback());
  int const on = 1;
  for (std::size_t c = 0; c < senders_.size(); ++c) {
    Sender& sender = senders_[c];
    sender.next_run = c;
    sender.socket.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int const fd = sender.socket.get();
    auto const which = [&] {
      return "connection " + std::to_string(c + 1) + " of " + std::to_string(senders_.size());
    };
    if (fd < 0) throw LoadFailed("no socket for " + which() + ": " + reason(errno));
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (is_loopback(server_.host)) {
      // The port is chosen when connecting, by both ends' addresses. Not to be had: then from wherever the
      // kernel says.
      ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      [[maybe_unused]] int const bound = ::bind(fd, reinterpret_cast<sockaddr const*>(&from), sizeof from);
    }
    while (::connect(fd, reinterpret_cast<sockaddr const*>(&to), sizeof to) != 0) {
      if (errno == EINTR) continue;
      throw LoadFailed(which() + " to port " + std::to_string(server_.port) +
                       " cannot be made: " + reason(errno));
    }
    // Reported once each time that a full socket has room again.
    epoll_event event{.events = EPOLLOUT | EPOLLET, .data = {.ptr = &sender}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
      throw LoadFailed(which() + " cannot be waited for: " + reason(errno));
  }
}

void LoadGenerator::send(std::chrono::steady_clock::time_point begin) {
  account_.began_ns = begin.time_since_epoch().count();
  account_.last_sent_ns = account_.last_due_ns = account_.began_ns;
  std::this_thread::sleep_until(begin);
  if (schedule_.spec().rate_per_s > 0)
    send_at_rate();
  else
    send_as_taken();
  // Those that had nothing to send.
  for (Sender& sender : senders_) end_if_done(sender);
}

void LoadGenerator::wait_for_end() {
  char ignored[256];
  for (Sender& sender : senders_) {
    while (::recv(sender.socket.get(), ignored, sizeof ignored, 0) > 0) {
    }
    sender.socket.reset();
  }
}

void LoadGenerator::lost(Sender const& sender, int error) const {
  // A server that refuses says so before it closes.
  char said[160];
  ssize_t const n = ::recv(sender.socket.get(), said, sizeof said, MSG_DONTWAIT);
  std::string text = "the server ended connection " + std::to_string(&sender - senders_.data() + 1) + " of " +
                     std::to_string(senders_.size()) + " (" + reason(error) + ")";
  if (n > 0) {
    std::string line(said, static_cast<std::size_t>(n));
    if (auto const end = line.find('\n'); end != std::string::npos) line.resize(end);
    text += ", saying: " + line;
  }
  throw LoadFailed(text);
}

void LoadGenerator::end_if_done(Sender& sender) noexcept {
  if (sender.next_run >= schedule_.runs() && !sender.blocked) ::shutdown(sender.socket.get(), SHUT_WR);
}

/// Sends what the socket takes of `bytes`, and says how much. False if that is not all: then the sender is
/// blocked.
bool LoadGenerator::hand_over(Sender& sender, char const* bytes, std::size_t size, std::size_t& taken) {
  taken = 0;
  while (taken < size) {
    ssize_t const n = ::send(sender.socket.get(), bytes + taken, size - taken, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      taken += static_cast<std::size_t>(n);
      account_.bytes += static_cast<std::uint64_t>(n);
      ++account_.sends;
    } else if (errno == EAGAIN) {
      sender.blocked = true;
      ++blocked_;
      ++account_.waits;
      return false;
    } else if (errno != EINTR) {
      lost(sender, errno);
    }
  }
  return true;
}

/// Waits, no longer than `timeout` (none: for ever), and calls `unblocked(sender)` for each that has room
/// again.
template <class Unblocked>
void LoadGenerator::wait_for_room(std::optional<std::chrono::nanoseconds> timeout, Unblocked&& unblocked) {
  constexpr int kAtOnce = 256;
  epoll_event ready[kAtOnce];
  constexpr std::int64_t kPerSecond = 1'000'000'000;
  std::int64_t const ns = timeout ? timeout->count() : 0;
  timespec const most{.tv_sec = ns / kPerSecond, .tv_nsec = ns % kPerSecond};
  int const n = ::epoll_pwait2(epoll_.get(), ready, kAtOnce, timeout ? &most : nullptr, nullptr);
  if (n < 0 && errno != EINTR) throw LoadFailed("waiting for connections: " + reason(errno));
  for (int i = 0; i < n; ++i) {
    Sender& sender = *static_cast<Sender*>(ready[i].data.ptr);
    if (!sender.blocked) continue;  // the report that it is connected
    sender.blocked = false;
    --blocked_;
    unblocked(sender);
  }
}

void LoadGenerator::send_at_rate() {
  auto const connections = senders_.size();
  auto const catch_up = [&](Sender& sender) {
    std::size_t taken = 0;
    std::string unsent = std::move(sender.unsent);
    sender.unsent.clear();
    if (!hand_over(sender, unsent.data(), unsent.size(), taken)) {
      sender.unsent = unsent.substr(taken);
      return;
    }
    account_.last_sent_ns = steady_ns();
    while (!sender.blocked && sender.next_run < runs_passed_) send_run(sender, steady_ns());
    if (runs_passed_ == schedule_.runs()) end_if_done(sender);
  };
  for (std::uint64_t run = 0; run < schedule_.runs(); ++run) {
    std::int64_t const due_ns =
        account_.began_ns + schedule_.send_time(schedule_.end_of_run(run) - 1).count();
    std::int64_t now_ns = steady_ns();
    while (now_ns < due_ns) {
      if (!spin_)
        wait_for_room(std::chrono::nanoseconds(due_ns - now_ns), catch_up);
      else if (blocked_ > 0)
        wait_for_room(0ns, catch_up);
      now_ns = steady_ns();
    }
    runs_passed_ = run + 1;
    // Also where there is no time for it: a sender that has room must not wait until all others are on time.
    if (blocked_ > 0 && run % 64 == 0) wait_for_room(0ns, catch_up);
    Sender& sender = senders_[run % connections];
    while (!sender.blocked && sender.next_run <= run) send_run(sender, steady_ns());
  }
  // Not sooner: a server would be closing connections while the last events of others arrive.
  for (Sender& sender : senders_) end_if_done(sender);
  while (blocked_ > 0) wait_for_room(std::nullopt, catch_up);
}

/// Sends the sender's next run, whose time has come. What its socket does not take is kept, and sent later:
/// its stamps are then early by that much, of one run of a connection that waits.
void LoadGenerator::send_run(Sender& sender, std::int64_t now_ns) {
  std::uint64_t const run = sender.next_run;
  sender.next_run += senders_.size();
  std::uint64_t const first = schedule_.first_of_run(run), end = schedule_.end_of_run(run);
  if (line_buffer_.size() < (end - first) * kMaxEventLineBytes)
    line_buffer_.resize((end - first) * kMaxEventLineBytes);
  bool const stamped = schedule_.spec().stamped, timed = schedule_.spec().timed;
  std::size_t size = 0;
  for (std::uint64_t i = first; i < end; ++i) {
    std::span<char, kMaxEventLineBytes> const out(line_buffer_.data() + size, kMaxEventLineBytes);
    std::int64_t const due_ns = account_.began_ns + schedule_.send_time(i).count();
    if (stamped)
      size += write_event_line(out, schedule_.said(i), schedule_.event_time(i),
                               {std::chrono::nanoseconds(due_ns), std::chrono::nanoseconds(now_ns - due_ns)});
    else if (timed)
      size += write_event_line(out, schedule_.said(i), schedule_.event_time(i));
    else
      size += write_event_line(out, schedule_.said(i));
  }
  std::size_t taken = 0;
  if (!hand_over(sender, line_buffer_.data(), size, taken))
    sender.unsent.assign(line_buffer_, taken, size - taken);
  // When the call had returned, so that no lateness is hidden that the call itself brought.
  std::int64_t const sent_ns = steady_ns();
  // Of the whole piece: that its first events wait for its last is how such a sender sends, and no lateness
  // of it.
  std::int64_t const due_ns = account_.began_ns + schedule_.send_time(end - 1).count();
  account_.lateness.record(std::chrono::nanoseconds(sent_ns - due_ns), end - first);
  account_.events += end - first;
  account_.last_sent_ns = sent_ns;
  account_.last_due_ns = std::max(account_.last_due_ns, due_ns);
}

void LoadGenerator::send_as_taken() {
  std::vector<Sender*> open;
  for (Sender& sender : senders_)
    if (sender.next_run < schedule_.runs()) open.push_back(&sender);
  std::size_t left = open.size();
  auto const go_on = [&](Sender& sender) { open.push_back(&sender); };
  while (left > 0) {
    if (open.empty())
      for (Sender& sender : senders_) end_if_done(sender);  // what is blocked may be waiting for their end
    if (blocked_ > 0) wait_for_room(open.empty() ? std::nullopt : std::optional(0ns), go_on);
    std::vector<Sender*> const turn = std::exchange(open, {});
    for (Sender* const sender : turn) {
      if (!send_text(*sender)) continue;
      if (sender->next_run < schedule_.runs())
        open.push_back(sender);
      else
        --left;
    }
  }
  account_.last_sent_ns = account_.last_due_ns = steady_ns();
}

/// Sends a run, or the rest of it. False if not all of it was taken.
bool LoadGenerator::send_text(Sender& sender) {
  std::string_view const text = schedule_.text_of_run(sender.next_run).substr(sender.sent);
  std::size_t taken = 0;
  bool const whole = hand_over(sender, text.data(), text.size(), taken);
  sender.sent += taken;
  if (!whole) return false;
  account_.events += schedule_.end_of_run(sender.next_run) - schedule_.first_of_run(sender.next_run);
  sender.next_run += senders_.size();
  sender.sent = 0;
  return true;
}

}  // namespace tally
