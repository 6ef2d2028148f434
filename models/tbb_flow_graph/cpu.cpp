// tbb_flow_graph on `cpu`: oneTBB's flow graph, input_node to function_node.
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/worker_threads.hpp"
#include "models/tbb_flow_graph/arena.hpp"

namespace tally {
namespace {

namespace flow = tbb::flow;

/// Reads the stream in runs of adjacent batches, each a message, as other models' workers take runs of
/// batches: oneTBB's manual asks for tasks of 10,000 cycles and more. With a message for each batch, the
/// right to read goes round among idle threads, which steal it, and every batch waits for one core's cache
/// lines to reach another: measured on 2 CPUs, 0.5 us of CPU time a message. Called by one thread at a time:
/// an input_node is serial.
class RunReader {
 public:
  RunReader(CpuStream const& stream, Setup const& setup)
      : reader_(stream, setup.batch), share_(64 * static_cast<std::uint64_t>(setup.workers)) {}

  /// The next run, empty at the stream's end. Runs grow with what has been read: the last is a small part of
  /// the stream, so that workers end together, also where a stream has few batches.
  Range next() noexcept {
    Range run = reader_.next();
    std::uint64_t const most = std::clamp<std::uint64_t>(read_ / share_, 1, kMostBatches);
    std::uint64_t batches = 1;
    for (; batches < most && !run.empty(); ++batches) {
      Range const batch = reader_.next();
      if (batch.empty()) break;
      run.end = batch.end;
    }
    read_ += batches;
    return run;
  }

 private:
  static constexpr std::uint64_t kMostBatches = 1024;
  BatchReader reader_;
  std::uint64_t share_;
  std::uint64_t read_ = 0;
};

}  // namespace

Counts tbb_flow_graph_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  tbb::global_control const threads(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(setup.workers));
  tbb::task_arena arena(setup.workers);
  FirstFailure failure;
  Placing const placing(arena, setup, failure);
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  Counts counts = stream.empty_tally();
  arena.execute([&] {
    watch.worker_ready();  // this thread is one of the arena's
    for (int others = stand_ready(arena, setup.workers - 1); others > 0; --others) watch.worker_ready();
    flow::graph graph;
    RunReader runs(stream, setup);
    flow::input_node<Range> source(graph, [&](tbb::flow_control& control) {
      Range const run = runs.next();
      if (run.empty()) control.stop();
      return run;
    });
    // Unlimited, yet bounded: the thread that reads a run gets the counting of it as its next task, and
    // only then may another steal the reading of the next. So no more runs are ever outside the reader than
    // there are workers.
    flow::function_node<Range> count(graph, flow::unlimited, [&](Range const& run) {
      auto const thread = static_cast<std::size_t>(tbb::this_task_arena::current_thread_index());
      stream.count(run, tallies[thread]);
      return flow::continue_msg{};
    });
    flow::make_edge(source, count);
    watch.start();
    source.activate();
    graph.wait_for_all();
    counts = merged(tallies);
    watch.stop();
  });
  failure.rethrow();
  return counts;
}

}  // namespace tally
