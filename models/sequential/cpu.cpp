// sequential on `cpu`: the plain loop.
#include "models/model.hpp"
#include "models/runtime/placement.hpp"

namespace tally {

Counts sequential_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  place_worker(setup, 0);
  Counts counts = stream.empty_tally();
  watch.worker_ready();
  watch.start();
  if (setup.batch == kAutoBatch) {
    stream.count({0, stream.size()}, counts);
  } else {
    BatchReader reader(stream, setup.batch, 1);
    for (Range batch; !(batch = reader.next()).empty();) stream.count(batch, counts);
  }
  watch.stop();
  return counts;
}

}  // namespace tally
