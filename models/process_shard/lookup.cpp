// process_shard on `lookup`: a process per event in flight, as a pre-forking server has them.
#include <cstdint>
#include <optional>

#include "models/model.hpp"
#include "models/process_shard/shard_processes.hpp"
#include "models/runtime/io/connection.hpp"

namespace tally {

/// A process per event in flight, as a pre-forking server has them; shard i is events i, i + n, i + 2n, …, so
/// that all shards wait equally long on average.
Counts process_shard_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  auto const step = static_cast<std::uint64_t>(setup.in_flight);
  ShardProcesses shards(
      step, [&] { return stream.empty_tally(); }, stream.windows());
  std::optional<BlockingConnection> connection;  // the child's own: made after the fork
  for (std::uint64_t i = 0; i < step; ++i) {
    shards.add([&] { connection.emplace(stream.service()); },
               [&](Counts& tally) {
                 for (std::uint64_t event = i; event < stream.events(); event += step) {
                   connection->look_up(stream, event, tally);
                 }
               });
  }
  return time_shards(shards, setup, watch);
}

}  // namespace tally
