// sequential: the plain loop, and one blocking connection.
#include "models/connection.hpp"
#include "models/model.hpp"
#include "models/placement.hpp"

namespace tally {

Counts sequential_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  place_worker(setup, 0);
  Counts counts = stream.empty_tally();
  watch.worker_ready();
  watch.start();
  stream.count({0, stream.size()}, counts);
  watch.stop();
  return counts;
}

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
