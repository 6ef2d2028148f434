// thread_pool on `lookup`: a blocking connection per thread.
#include <cstddef>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/event_cursor.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/small_stacks.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {

Counts thread_pool_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.in_flight);
  EventCursor cursor(stream.events());
  SmallStacks const small_stacks;
  WorkerThreads threads(setup.in_flight, [&](int t, WorkerThreads::Self& self) {
    BlockingConnection connection(stream.service());
    if (!self.stand_ready()) return;
    bool const ok = self.failure().guard([&] {
      while (auto const event = cursor.take())
        connection.look_up(stream, *event, tallies[static_cast<std::size_t>(t)]);
    });
    if (!ok) cursor.stop();
    self.finish();
  });
  threads.wait_ready();
  // Workers are the CPUs that the threads share, not the threads: those are the events in flight.
  for (int w = 0; w < setup.workers; ++w) watch.worker_ready();
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
