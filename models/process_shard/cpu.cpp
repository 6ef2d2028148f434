// process_shard on `cpu`: fork(2), one process per shard; counts come back through shared memory.
#include <cstddef>
#include <vector>

#include "models/model.hpp"
#include "models/process_shard/shard_processes.hpp"
#include "models/runtime/placement.hpp"

namespace tally {

/// Shard i is the i-th of `workers` adjacent parts of the stream.
Counts process_shard_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Range> const parts = stream.split(static_cast<std::size_t>(setup.workers));
  ShardProcesses shards(parts.size());
  for (int w = 0; w < setup.workers; ++w) {
    shards.add([&] { place_worker(setup, w); },
               [&] {
                 Counts tally = stream.empty_tally();
                 stream.count(parts[static_cast<std::size_t>(w)], tally);
                 return tally;
               });
  }
  return time_shards(shards, stream.empty_tally(), setup, watch);
}

}  // namespace tally
