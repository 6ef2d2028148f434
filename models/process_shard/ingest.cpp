// process_shard on `ingest`: a process for each group of connections.
#include <cstddef>
#include <optional>

#include "models/model.hpp"
#include "models/process_shard/shard_processes.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/io/ingest_loop.hpp"
#include "models/runtime/placement.hpp"

namespace tally {

/// A process for each group of connections, those that it accepts for itself: the kernel spreads them. Counts
/// and latencies lie in memory that all of them share.
Counts process_shard_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  ShardProcesses shards(static_cast<std::size_t>(setup.workers), Counts::text);  // counts are not in these
  std::optional<IngestLoop> loop;  // the child's own: made after the fork
  for (int w = 0; w < setup.workers; ++w) {
    shards.add(
        [&] {
          place_worker(setup, w);
          loop.emplace(stream, w);
        },
        [&](Counts&) { loop->run(); });
  }
  shards.wait_ready();
  for (int w = 0; w < setup.workers; ++w) watch.worker_ready();
  shards.release();
  shards.merged();
  Counts counts = merged_counts(stream, watch);
  watch.add_child_memory(shards.finish());
  return counts;
}

}  // namespace tally
