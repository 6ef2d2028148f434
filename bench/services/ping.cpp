// Readiness of a lookup service by handshake.
#include "bench/services/ping.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace tally {
namespace {

/// A descriptor that closes itself.
struct Socket {
  int fd = -1;
  ~Socket() {
    if (fd >= 0) ::close(fd);
  }
};

/// Bytes as a person can read them, cut to what fits in a line.
std::string printable(std::string_view bytes) {
  std::string text = "\"";
  for (char const c : bytes.substr(0, 40)) {
    if (c == '\r')
      text += "\\r";
    else if (c == '\n')
      text += "\\n";
    else
      text += c >= ' ' && c <= '~' ? c : '?';
  }
  return text + (bytes.size() > 40 ? "…\"" : "\"");
}

class Handshake {
 public:
  Handshake(ServiceAddress address, std::chrono::milliseconds timeout, StopSignals const& stop)
      : where_(describe(address)),
        timeout_(timeout),
        deadline_(std::chrono::steady_clock::now() + timeout),
        stop_(stop) {
    socket_.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket_.fd < 0) fail(std::strerror(errno));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(address.host);
    to.sin_port = htons(address.port);
    if (::connect(socket_.fd, reinterpret_cast<sockaddr const*>(&to), sizeof to) == 0) return;
    if (errno != EINPROGRESS) fail(std::strerror(errno));
    await(POLLOUT);
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) fail(std::strerror(error));
  }

  void ping(bool error_will_do) {
    static constexpr std::string_view kRequest = "*1\r\n$4\r\nPING\r\n", kReply = "+PONG\r\n";
    if (::send(socket_.fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) fail(std::strerror(errno));
    std::string reply;
    while (reply.size() < kReply.size()) {
      await(POLLIN);
      char bytes[256];
      ssize_t const n = ::recv(socket_.fd, bytes, sizeof bytes, 0);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (n < 0) fail(std::strerror(errno));
      if (n == 0)
        fail(reply.empty() ? "it closed the connection without an answer"
                           : "it closed the connection after " + printable(reply));
      reply.append(bytes, static_cast<std::size_t>(n));
      if (error_will_do && reply.starts_with('-')) return;
      if (!kReply.starts_with(std::string_view(reply).substr(0, kReply.size())))
        fail("it answered PING with " + printable(reply) + " instead of \"+PONG\"");
    }
  }

 private:
  [[noreturn]] void fail(std::string const& how) const {
    throw ServiceFailed("no lookup service at " + where_ + ": " + how);
  }

  void await(short events) const {
    for (;;) {
      auto const left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now()).count();
      pollfd fds[] = {{socket_.fd, events, 0}, {stop_.fd(), POLLIN, 0}};
      int const ready = ::poll(fds, 2, left > 0 ? static_cast<int>(left) : 0);
      if (fds[1].revents) throw Interrupted("interrupted while waiting for the lookup service");
      if (ready > 0) return;
      if (ready == 0) fail("no answer within " + std::to_string(timeout_.count()) + " ms");
      if (errno != EINTR) fail(std::strerror(errno));
    }
  }

  std::string where_;
  std::chrono::milliseconds timeout_;
  std::chrono::steady_clock::time_point deadline_;
  StopSignals const& stop_;
  Socket socket_;
};

}  // namespace

void ping(ServiceAddress address, std::chrono::milliseconds timeout, StopSignals const& stop) {
  Handshake(address, timeout, stop).ping(false);
}

void ping_database(ServiceAddress address, std::chrono::milliseconds timeout, StopSignals const& stop) {
  Handshake(address, timeout, stop).ping(true);
}

}  // namespace tally
