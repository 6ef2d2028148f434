// tbb_flow_graph on `cpu`: oneTBB's flow graph, a node that reads to a node that counts.
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/worker_threads.hpp"
#include "models/tbb_flow_graph/arena.hpp"

namespace tally {
namespace {

namespace flow = tbb::flow;

using Source = flow::multifunction_node<flow::continue_msg, std::tuple<Range>>;

/// Messages that are read at once, for each worker; there are never more than twice as many in the graph.
constexpr std::size_t kReadAtOnce = 64;

/// How many messages are in the graph, which the source is told of when they have become few. Threads count
/// by themselves and add that up now and then: else all of them would write to one cache line for every
/// message.
class InFlight {
 public:
  explicit InFlight(std::size_t workers)
      : few_(static_cast<std::int64_t>(kReadAtOnce * workers)), ended_(workers) {}

  void add(std::size_t messages) noexcept {
    in_flight_.fetch_add(static_cast<std::int64_t>(messages), std::memory_order_relaxed);
  }
  /// A message ended on `thread`. True once for each time that they become few. What threads have not added
  /// up yet is less than that, so that it comes to it as often as messages are added.
  bool become_few(std::size_t thread) noexcept {
    if (++ended_[thread].messages < kAtOnce) return false;
    ended_[thread].messages = 0;
    std::int64_t const before = in_flight_.fetch_sub(kAtOnce, std::memory_order_relaxed);
    return before >= few_ && before - kAtOnce < few_;
  }

 private:
  static constexpr std::int64_t kAtOnce = 16;
  static_assert(kAtOnce <= static_cast<std::int64_t>(kReadAtOnce));
  struct alignas(64) Ended {
    std::int64_t messages = 0;
  };
  std::int64_t few_;
  std::vector<Ended> ended_;  // by thread
  alignas(64) std::atomic<std::int64_t> in_flight_{0};
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
    BatchReader reader(stream, setup.batch, setup.workers);
    std::uint64_t messages = 0;
    // Of an input_node the next task is to count what it read, and all that another thread can steal is the
    // reading: it goes from thread to thread with every message, which takes twice as long (half as many
    // events of 1 us, on an Intel Xeon). This node reads some batches, a message each; they lie in its
    // thread's deque, whence others steal them.
    InFlight in_flight(static_cast<std::size_t>(setup.workers));
    std::vector<Range> batches(kReadAtOnce * static_cast<std::size_t>(setup.workers));
    Source source(graph, flow::serial, [&](flow::continue_msg, Source::output_ports_type& out) {
      std::size_t n = 0;
      while (n < batches.size() && !(batches[n] = reader.next()).empty()) ++n;
      messages += n;
      in_flight.add(n);
      for (std::size_t i = 0; i < n; ++i) std::get<0>(out).try_put(batches[i]);
    });
    flow::function_node<Range> count(graph, flow::unlimited, [&](Range const& batch) {
      auto const thread = static_cast<std::size_t>(tbb::this_task_arena::current_thread_index());
      stream.count(batch, tallies[thread]);
      if (in_flight.become_few(thread)) source.try_put({});
      return flow::continue_msg{};
    });
    flow::make_edge(flow::output_port<0>(source), count);
    watch.start();
    for (int times = 0; times < 2; ++times) source.try_put({});
    graph.wait_for_all();
    counts = merged(tallies);
    watch.stop();
    watch.add_scheduled(messages);
  });
  failure.rethrow();
  return counts;
}

}  // namespace tally
