// A port on which nobody listens.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "workloads/base/owned_fd.hpp"

namespace tally {

/// A port of this machine that refuses connections as long as this lives. It is taken, so that no other test,
/// nor the very program that is to be refused, gets it meanwhile and answers.
class ClosedPort {
 public:
  ClosedPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (socket_.get() < 0 || ::bind(socket_.get(), any, size) != 0 ||
        ::getsockname(socket_.get(), any, &size) != 0)
      throw std::system_error(errno, std::generic_category(), "no port to be had");
    number_ = ntohs(address.sin_port);
  }
  std::uint16_t number() const noexcept { return number_; }

 private:
  OwnedFd socket_;
  std::uint16_t number_;
};

}  // namespace tally
