// event_loop on `ingest`: callbacks on a readiness loop per worker, as Twisted and Node work.
#include "models/model.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/io/ingest_loop.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {

Counts event_loop_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    IngestLoop loop(stream, w, setup.io);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    loop.run();
    self.finish();
  });
  return serve_with(threads, stream, watch);
}

}  // namespace tally
