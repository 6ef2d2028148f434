#include "models/runtime/io/connection.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "workloads/lookup/resp.hpp"

namespace tally {
namespace {

[[noreturn]] void fail_lookup(std::string const& what) { throw LookupFailed("the lookup service " + what); }

std::string reason(int error) { return std::strerror(error); }

/// The one line that is the answer to a greeting, without its end. Blocks.
std::string receive_line(int fd) {
  constexpr std::size_t kLongest = 512;
  std::string line;
  while (!line.ends_with("\r\n")) {
    char bytes[kLongest];
    ssize_t const n = ::recv(fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_lookup("went away: " + reason(errno));
    if (n == 0)
      fail_lookup("closed a new connection" + (line.empty() ? "" : " after \"" + printable(line) + "\""));
    line.append(bytes, static_cast<std::size_t>(n));
    if (line.size() > kLongest) fail_lookup("greets with more than a line: \"" + printable(line) + "\"");
  }
  line.resize(line.size() - 2);
  return line;
}

}  // namespace

Socket Socket::connect(LookupTarget const& target) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(target.host);
  to.sin_port = htons(target.port);
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.fd_ < 0) throw LookupFailed("no socket for a connection: " + reason(errno));
  int const on = 1;
  linger const reset{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket.fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  while (::connect(socket.fd_, reinterpret_cast<sockaddr const*>(&to), sizeof to) != 0) {
    if (errno == EINTR) continue;
    fail_lookup("at " + describe(target) + " cannot be reached: " + reason(errno));
  }
  socket.greet(target);
  return socket;
}

/// What was sent is in no message: it may hold a password.
void Socket::greet(LookupTarget const& target) {
  for (std::string const& request : target.greeting) {
    if (int const error = Transfer().send(fd_, request)) fail_lookup("went away: " + reason(error));
    if (std::string const answer = receive_line(fd_); answer != "+OK")
      fail_lookup("at " + describe(target) + " refused a new connection: " +
                  printable(std::string_view(answer).substr(answer.starts_with('-') ? 1 : 0), 256));
  }
}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

void Socket::set_non_blocking() {
  int const flags = fcntl(fd_, F_GETFL);
  if (flags < 0 || fcntl(fd_, F_SETFL, flags | O_NONBLOCK) != 0) {
    throw LookupFailed("a connection cannot be made non-blocking: " + reason(errno));
  }
}

void Connection::send(LookupStream const& stream, std::uint64_t event) {
  static_assert(LookupStream::kMaxRequestBytes <= kMostBytesToSend);
  std::array<char, LookupStream::kMaxRequestBytes> request;
  std::size_t const size = stream.request(event, request);
  if (int const error = transfer_.send(fd(), {request.data(), size}))
    fail_lookup("went away: " + reason(error));
}

std::span<char const> Connection::receive(LookupStream const& stream, ReceiveBuffer& buffer) {
  // Behind what is left of an earlier piece.
  std::span<char> const room = std::span(buffer).subspan(partial_.size());
  std::span<char const> const reply = take(stream, transfer_.receive(fd(), room), buffer);
  // A ring's bytes do not stay.
  if (reply.empty() || reply.data() == buffer.data()) return reply;
  std::copy(reply.begin(), reply.end(), buffer.begin());
  return {buffer.data(), reply.size()};
}

std::span<char const> Connection::take(LookupStream const& stream, Received const& received,
                                       ReceiveBuffer& buffer) {
  if (received.error == EAGAIN) return {};
  if (received.error != 0) fail_lookup("went away: " + reason(received.error));
  if (received.bytes.empty())
    fail_lookup(partial_.empty() ? "closed the connection without an answer"
                                 : "closed the connection within an answer");
  std::span<char const> all = received.bytes;
  if (std::size_t const before = partial_.size(); before > 0) {
    if (all.size() > buffer.size() - before) fail_lookup("sent an answer longer than any key");
    std::copy(partial_.begin(), partial_.end(), buffer.begin());
    char* const behind = buffer.data() + before;
    if (all.data() != behind) std::copy(all.begin(), all.end(), behind);
    all = {buffer.data(), before + all.size()};
  }
  std::size_t const length = stream.reply_length(all);
  if (length == 0) {
    if (all.size() >= buffer.size()) fail_lookup("sent an answer longer than any key");
    partial_.assign(all.begin(), all.end());
    return {};
  }
  if (length < all.size()) fail_lookup("sent more than one answer to one request");
  partial_.clear();
  return all;
}

void BlockingConnection::look_up(LookupStream const& stream, std::uint64_t event, Counts& tally) {
  ReceiveBuffer buffer;
  connection_.send(stream, event);
  std::span<char const> reply;
  while ((reply = connection_.receive(stream, buffer)).empty()) {
  }
  stream.accept(event, reply, tally);
}

Connection connect_non_blocking(LookupTarget const& target) {
  Socket socket = Socket::connect(target);
  socket.set_non_blocking();
  return Connection(std::move(socket));
}

int share_of_in_flight(int in_flight, int workers, int worker) noexcept {
  return in_flight / workers + (worker < in_flight % workers ? 1 : 0);
}

}  // namespace tally
