#include "models/connection.hpp"

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

namespace tally {
namespace {

[[noreturn]] void fail(std::string const& what) { throw LookupFailed("the lookup service " + what); }

std::string reason(int error) { return std::strerror(error); }

}  // namespace

Socket Socket::connect(ServiceAddress const& address) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(address.host);
  to.sin_port = htons(address.port);
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.fd_ < 0) throw LookupFailed("no socket for a connection: " + reason(errno));
  int const on = 1;
  linger const reset{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket.fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  while (::connect(socket.fd_, reinterpret_cast<sockaddr const*>(&to), sizeof to) != 0) {
    if (errno == EINTR) continue;
    fail("at port " + std::to_string(address.port) + " cannot be reached: " + reason(errno));
  }
  return socket;
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
  static_assert(LookupStream::kMaxRequestBytes <= Transfer::kMostBytesToSend);
  std::array<char, LookupStream::kMaxRequestBytes> request;
  std::size_t const size = stream.request(event, request);
  if (int const error = transfer_.send(fd(), {request.data(), size})) fail("went away: " + reason(error));
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
  if (received.error != 0) fail("went away: " + reason(received.error));
  if (received.bytes.empty())
    fail(partial_.empty() ? "closed the connection without an answer"
                          : "closed the connection within an answer");
  std::span<char const> all = received.bytes;
  if (std::size_t const before = partial_.size(); before > 0) {
    if (all.size() > buffer.size() - before) fail("sent an answer longer than any key");
    std::copy(partial_.begin(), partial_.end(), buffer.begin());
    char* const behind = buffer.data() + before;
    if (all.data() != behind) std::copy(all.begin(), all.end(), behind);
    all = {buffer.data(), before + all.size()};
  }
  std::size_t const length = stream.reply_length(all);
  if (length == 0) {
    if (all.size() >= buffer.size()) fail("sent an answer longer than any key");
    partial_.assign(all.begin(), all.end());
    return {};
  }
  if (length < all.size()) fail("sent more than one answer to one request");
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

Connection connect_non_blocking(ServiceAddress const& address) {
  Socket socket = Socket::connect(address);
  socket.set_non_blocking();
  return Connection(std::move(socket));
}

int share_of_in_flight(int in_flight, int workers, int worker) noexcept {
  return in_flight / workers + (worker < in_flight % workers ? 1 : 0);
}

}  // namespace tally
