// The `lookup` stream: each event's key is asked of the lookup service.
#pragma once

#include <chrono>
#include <memory>

#include "workloads/counting/grain.hpp"
#include "workloads/events/synthetic.hpp"
#include "workloads/stream.hpp"

namespace tally {

/// `events` events from the event `first` on, each asked of `service` with a RESP2 `GET <prefix><slot>`; the
/// bulk string in the reply is the key, in decimal. The slot of event i is i, or i modulo as many slots as
/// the service has, and its key is what the generator of `keys` draws for the slot: where there are fewer
/// slots than events, the keys of the first so many events come again and again. The grain's work follows the
/// reply. `window` as for synthetic streams; so is what position 0 is, where `first` is not 0. Throws
/// std::invalid_argument if the prefix is too long for a request.
std::unique_ptr<LookupStream> make_lookup_stream(KeySpec const& keys, std::uint64_t events, Grain grain,
                                                 std::chrono::nanoseconds window, LookupTarget service,
                                                 std::uint64_t first = 0);

}  // namespace tally
