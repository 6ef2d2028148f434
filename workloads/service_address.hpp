// Where something listens.
#pragma once

#include <cstdint>

namespace tally {

/// An IPv4 address and a port; loopback unless said otherwise.
struct ServiceAddress {
  std::uint32_t host = 0x7f000001;  ///< in host byte order
  std::uint16_t port = 0;
};

}  // namespace tally
