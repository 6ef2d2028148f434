// The static split that `limit` runs on.
#pragma once

#include <functional>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {

/// Runs `prepare(worker)` and, once all workers have, `work(worker)` on `setup.workers` placed threads, the
/// calling one among them as worker 0, which spares it being woken; the watch starts between the two and
/// stops when `tallies` are merged. Throws what the first of them threw.
inline Counts run_split(Setup const& setup, Stopwatch& watch, std::vector<Counts>& tallies,
                        std::function<void(int)> const& prepare, std::function<void(int)> const& work) {
  auto const stand = [&](int w) {
    place_worker(setup, w);
    prepare(w);
    watch.worker_ready();
  };
  WorkerThreads others(setup.workers - 1, [&](int other, WorkerThreads::Self& self) {
    stand(other + 1);
    if (!self.stand_ready()) return;
    work(other + 1);
  });
  stand(0);
  return time_workers(others, watch, tallies, [&] { work(0); });
}

}  // namespace tally
