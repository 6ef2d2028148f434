// limit on `cpu`: a static split.
#include <cstddef>
#include <vector>

#include "models/limit/split.hpp"
#include "models/model.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {

Counts limit_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Range> const parts = stream.split(static_cast<std::size_t>(setup.workers));
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  return run_split(
      setup, watch, tallies, [](int) {},
      [&](int w) { stream.count(parts[static_cast<std::size_t>(w)], tallies[static_cast<std::size_t>(w)]); });
}

}  // namespace tally
