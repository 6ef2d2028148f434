#include "workloads/lookup/lookup_service.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "workloads/lookup/lookup_server.hpp"

namespace tally {

int listen_on_loopback(std::uint16_t port) {
  OwnedFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int const one = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (socket.get() < 0 || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      ::bind(socket.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0)
    throw std::system_error(errno, std::generic_category(),
                            "the lookup service cannot listen on 127.0.0.1 port " +
                                (port == 0 ? "0 (any)" : std::to_string(port)));
  // Connections inherit it. A default that paces (BBR) costs time for every reply, and loopback is never
  // congested; where it may not be chosen, the default serves as well.
  constexpr std::string_view kCongestionControl = "reno";
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, kCongestionControl.data(),
               kCongestionControl.size());
  return socket.release();
}

std::uint16_t local_port(int listening_socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(listening_socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::system_error(errno, std::generic_category(), "the lookup service's port");
  return ntohs(address.sin_port);
}

void serve_lookups(ServiceConfig const& config, int listening_socket, int stop_fd, ServiceControl& control) {
  LookupServer(config, listening_socket, stop_fd, control).run();
}

}  // namespace tally
