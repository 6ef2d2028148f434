// The `lookup` stream: each event's key is asked of the lookup service.
#pragma once

#include <chrono>
#include <memory>

#include "workloads/grain.hpp"
#include "workloads/stream.hpp"
#include "workloads/synthetic.hpp"

namespace tally {

/// Events 0 to `events` - 1 of the keys that `generator` draws, each asked of `service` with a RESP2 `GET
/// event:<i>`; the bulk string in the reply is the key, in decimal. The grain's work follows the reply.
/// `window` as for synthetic streams.
std::unique_ptr<LookupStream> make_lookup_stream(KeySpec const& keys, std::uint64_t events, Grain grain,
                                                 std::chrono::nanoseconds window, ServiceAddress service);

}  // namespace tally
