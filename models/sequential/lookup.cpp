// sequential on `lookup`: one blocking connection.
#include <cstdint>

#include "models/model.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/placement.hpp"

namespace tally {

Counts sequential_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  place_worker(setup, 0);
  Counts counts = stream.empty_tally();
  BlockingConnection connection(stream.service());
  watch.worker_ready();
  watch.start();
  for (std::uint64_t event = 0; event < stream.events(); ++event) connection.look_up(stream, event, counts);
  watch.stop();
  return counts;
}

}  // namespace tally
