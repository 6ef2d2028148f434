// The lookup service: answers RESP2 GET after a delay drawn, per event, from the seed. A process of its own.
#pragma once

#include <cstdint>

#include "workloads/lookup/service_control.hpp"

namespace tally {

/// A listening socket on IPv4 loopback. Throws std::system_error that names the port (in use, say).
/// The caller owns the descriptor.
int listen_on_loopback(std::uint16_t port);
/// The port that a listening socket got.
std::uint16_t local_port(int listening_socket);

/// Serves on `listening_socket` until `stop_fd` becomes readable or is closed at its other end (-1: for
/// ever). Does not return early for anything that a client does. `control` belongs to the caller and outlives
/// the call.
void serve_lookups(ServiceConfig const& config, int listening_socket, int stop_fd, ServiceControl& control);

}  // namespace tally
