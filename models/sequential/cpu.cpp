// sequential on `cpu`: the plain loop.
#include "models/model.hpp"
#include "models/runtime/placement.hpp"

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

}  // namespace tally
