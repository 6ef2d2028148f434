// limit on `cpu`: a static split; each batch by itself.
#include <cstddef>
#include <vector>

#include "models/limit/split.hpp"
#include "models/model.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {

Counts limit_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Range> const parts =
      split_at_batches(stream, setup.batch, static_cast<std::size_t>(setup.workers));
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  return run_split(
      setup, watch, tallies, [](int) {},
      [&](int w) {
        Range const part = parts[static_cast<std::size_t>(w)];
        Counts& tally = tallies[static_cast<std::size_t>(w)];
        if (setup.batch == kAutoBatch) return stream.count(part, tally);
        BatchReader reader(stream, part, setup.batch, 1);
        for (Range batch; !(batch = reader.next()).empty();) stream.count(batch, tally);
      });
}

}  // namespace tally
