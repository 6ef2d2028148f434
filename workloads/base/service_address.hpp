// Where something listens, and how lookups ask it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tally {

/// An IPv4 address and a port; loopback unless said otherwise.
struct ServiceAddress {
  std::uint32_t host = 0x7f000001;  ///< in host byte order
  std::uint16_t port = 0;
};

/// "127.0.0.1:6379"
std::string describe(ServiceAddress const& address);

/// Whom lookups ask, and how. Of an address alone, as Tally's own lookup service wants it.
struct LookupTarget : ServiceAddress {
  LookupTarget() = default;
  /// Explicit: an address is asked for by mistake where a target is meant, and then greets nobody.
  explicit LookupTarget(ServiceAddress const& address) : ServiceAddress(address) {}

  /// Requests that a new connection begins with, one after another, each of which is answered with +OK. They
  /// may hold a password: never to be shown.
  std::vector<std::string> greeting;
  /// Event i is asked for as this and a number; at most kMostPrefixBytes.
  std::string prefix = "event:";
  /// The number is i modulo this; 0: i.
  std::uint64_t slots = 0;

  static constexpr std::size_t kMostPrefixBytes = 24;
  std::uint64_t slot_of(std::uint64_t event) const noexcept { return slots == 0 ? event : event % slots; }
};

}  // namespace tally
