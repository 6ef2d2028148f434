// tbb_flow_graph on `cpu`: oneTBB's flow graph, input_node to function_node.
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/worker_threads.hpp"
#include "models/tbb_flow_graph/arena.hpp"

namespace tally {
namespace {

namespace flow = tbb::flow;

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
    BatchReader reader(stream, setup.batch, setup.workers);
    std::uint64_t messages = 0;
    // One thread at a time reads: an input_node is serial.
    flow::input_node<Range> source(graph, [&](tbb::flow_control& control) {
      Range const batch = reader.next();
      if (batch.empty())
        control.stop();
      else
        ++messages;
      return batch;
    });
    // Unlimited, yet bounded: the thread that reads a batch gets the counting of it as its next task, and
    // only then may another steal the reading of the next. So no more messages are ever in the graph than
    // there are workers.
    flow::function_node<Range> count(graph, flow::unlimited, [&](Range const& batch) {
      auto const thread = static_cast<std::size_t>(tbb::this_task_arena::current_thread_index());
      stream.count(batch, tallies[thread]);
      return flow::continue_msg{};
    });
    flow::make_edge(source, count);
    watch.start();
    source.activate();
    graph.wait_for_all();
    counts = merged(tallies);
    watch.stop();
    watch.add_scheduled(messages);
  });
  failure.rethrow();
  return counts;
}

}  // namespace tally
