#include "workloads/base/service_address.hpp"

namespace tally {

std::string describe(ServiceAddress const& address) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8)
    text += std::to_string((address.host >> shift) & 0xff) + (shift > 0 ? "." : ":");
  return text + std::to_string(address.port);
}

}  // namespace tally
