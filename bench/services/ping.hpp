// Whether a service answers.
#pragma once

#include <chrono>
#include <stdexcept>

#include "bench/process/stop_signals.hpp"
#include "workloads/base/service_address.hpp"

namespace tally {

/// No service answers there, or not as a lookup service does. what() is one line that says where and how it
/// failed.
struct ServiceFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Connects, sends PING and reads PONG, all within `timeout`. Throws ServiceFailed: refused, closed, no
/// answer in time, or something else than PONG, which is shown; Interrupted when `stop` comes first.
void ping(ServiceAddress address, std::chrono::milliseconds timeout, StopSignals const& stop);
/// The same, but that an error of the Redis protocol is an answer too, as of a database that wants a password
/// first.
void ping_database(ServiceAddress address, std::chrono::milliseconds timeout, StopSignals const& stop);

}  // namespace tally
