// process_shard: fork(2), one process per shard; counts come back through shared memory.
#include <optional>

#include "models/child_process.hpp"
#include "models/connection.hpp"
#include "models/ingest_loop.hpp"
#include "models/model.hpp"
#include "models/placement.hpp"

namespace tally {
namespace {

/// Lets the shards, once all stand ready, count what is theirs, and merges it.
Counts run_shards(ShardProcesses& shards, Counts counts, Setup const& setup, Stopwatch& watch) {
  shards.wait_ready();
  // On lookup too workers are CPUs, which the processes share; the processes are the events in flight.
  for (int w = 0; w < setup.workers; ++w) watch.worker_ready();
  watch.start();
  shards.release();
  shards.merge_into(counts);
  watch.stop();
  watch.add_child_memory(shards.finish());
  return counts;
}

}  // namespace

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
  return run_shards(shards, stream.empty_tally(), setup, watch);
}

/// A process for each group of connections, those that it accepts for itself: the kernel spreads them. Counts and latencies
/// lie in memory that all of them share.
Counts process_shard_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  ShardProcesses shards(static_cast<std::size_t>(setup.workers));
  std::optional<IngestLoop> loop;  // the child's own: made after the fork
  for (int w = 0; w < setup.workers; ++w) {
    shards.add(
        [&] {
          place_worker(setup, w);
          loop.emplace(stream, w);
        },
        [&] {
          loop->run();
          return Counts::text();
        });
  }
  shards.wait_ready();
  for (int w = 0; w < setup.workers; ++w) watch.worker_ready();
  shards.release();
  Counts nothing = Counts::text();
  shards.merge_into(nothing);
  Counts counts = merged_counts(stream, watch);
  watch.add_child_memory(shards.finish());
  return counts;
}

/// A process per event in flight, as a pre-forking server has them; shard i is events i, i + n, i + 2n, …, so
/// that all shards wait equally long on average.
Counts process_shard_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  auto const step = static_cast<std::uint64_t>(setup.in_flight);
  ShardProcesses shards(step);
  std::optional<BlockingConnection> connection;  // the child's own: made after the fork
  for (std::uint64_t i = 0; i < step; ++i) {
    shards.add([&] { connection.emplace(stream.service()); },
               [&] {
                 Counts tally = stream.empty_tally();
                 for (std::uint64_t event = i; event < stream.events(); event += step) {
                   connection->look_up(stream, event, tally);
                 }
                 return tally;
               });
  }
  return run_shards(shards, stream.empty_tally(), setup, watch);
}

}  // namespace tally
