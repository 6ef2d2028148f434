// tbb_flow_graph on `lookup`: oneTBB's flow graph, async_node for what waits.
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/event_cursor.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"
#include "models/tbb_flow_graph/arena.hpp"

namespace tally {
namespace {

namespace flow = tbb::flow;

/// A connection that goes round the graph: out to wait, back with its reply to be counted.
template <class Graph>
struct Slot : ReadyHandler {
  Slot(Graph& g, std::size_t thread, Connection&& c)
      : ReadyHandler{receive}, graph(g), io_thread(thread), connection(std::move(c)) {}
  // Neither copied nor moved once it is in use: only into a vector that has room for all.
  Slot(Slot&& other) noexcept : Slot(other.graph, other.io_thread, std::move(other.connection)) {}
  static bool receive(ReadyHandler& self) {
    auto& slot = static_cast<Slot&>(self);
    return slot.graph.receive(slot);
  }
  Graph& graph;
  std::size_t io_thread;
  Connection connection;
  std::uint64_t event = 0;
  ReceiveBuffer buffer;
  std::size_t reply_bytes = 0;
  /// Its request is sent, and its reply not yet back in the graph. Whoever clears it answers for the
  /// connection.
  std::atomic<bool> asked{false};
};

/// async_node for what waits, function_node for what counts, in a circle: each connection is a message, so
/// exactly as many events are in flight as there are connections, and nothing needs limiting. Behind the
/// async_node, an I/O thread waits in the reactor: for each worker one circle with its own, since a node
/// passes messages on under a lock.
///
/// Light work (Policy lightweight: the library's own means for bodies that are shorter than a task's making)
/// is done by the I/O thread in passing the message on; heavy work becomes tasks for the arena's threads.
/// What is thrown is kept, not thrown on: a lightweight body must be noexcept, else the library ignores the
/// policy.
template <class Policy>
class LookupGraph {
  using Message = Slot<LookupGraph>*;
  static constexpr bool kLight = std::is_same_v<Policy, flow::lightweight>;

 public:
  LookupGraph(LookupStream const& stream, Setup const& setup, FirstFailure& failure)
      : stream_(stream),
        cursor_(stream.events()),
        failure_(failure),
        // One more than workers: an arena for one thread has two slots, and its thread may sit in either.
        tallies_(empty_tallies(stream, setup.workers + 1)) {
    for (int w = 0; w < setup.workers; ++w) {
      Circle& circle = *circles_.emplace_back(std::make_unique<Circle>(*this, setup.io));
      int const share = share_of_in_flight(setup.in_flight, setup.workers, w);
      circle.slots.reserve(static_cast<std::size_t>(share));
      circle.out.store(share, std::memory_order_relaxed);
      for (int c = 0; c < share; ++c) {
        auto& slot = circle.slots.emplace_back(*this, static_cast<std::size_t>(w),
                                               connect_non_blocking(stream.service()));
        slot.connection.join(circle.reactor, slot);
      }
    }
  }

  /// What I/O thread `w` does: puts its connections into the graph, then waits for them until all are out of
  /// it.
  void run_io(int w) {
    Circle& circle = *circles_[static_cast<std::size_t>(w)];
    circle.reactor.attach();
    for (auto& slot : circle.slots) circle.wait.try_put(&slot);
    while (circle.out.load(std::memory_order_acquire) > 0) circle.reactor.run_once(std::nullopt);
  }

  std::vector<Counts>& tallies() noexcept { return tallies_; }
  /// Messages that went round: one for each event.
  std::uint64_t messages() const noexcept {
    std::uint64_t sum = 0;
    for (auto const& circle : circles_) sum += circle->messages.load(std::memory_order_relaxed);
    return sum;
  }
  /// Waits for what may still run in the arena, once every I/O thread has returned from run_io().
  void wait_for_all() { graph_.wait_for_all(); }

 private:
  friend Slot<LookupGraph>;
  struct Circle {
    Circle(LookupGraph& g, Io io)
        : reactor(io),
          wait(g.graph_, flow::unlimited, [&g](Message slot, auto&) noexcept { g.ask(*slot); }),
          count(g.graph_, flow::unlimited, [&g](Message slot) noexcept { return g.count(slot); }) {
      flow::make_edge(wait, count);
      flow::make_edge(count, wait);
    }
    Reactor reactor;
    std::vector<Slot<LookupGraph>> slots;
    std::atomic<std::uint64_t> messages{0};
    std::atomic<int> out{0};  // connections that are in the graph or waiting
    flow::async_node<Message, Message, Policy> wait;
    flow::function_node<Message, Message, Policy> count;
  };

  void fail() noexcept {
    failure_.set(std::current_exception());
    cursor_.stop();
  }

  /// The async_node's body: sends the next event's request, or takes the connection out of the graph when
  /// there is none. The socket is in its I/O thread's reactor already, so that any thread may send.
  void ask(Slot<LookupGraph>& slot) noexcept {
    auto const event = cursor_.take();
    if (!event) return leave(slot);
    slot.event = *event;
    circles_[slot.io_thread]->messages.fetch_add(1, std::memory_order_relaxed);
    slot.asked.store(true, std::memory_order_release);
    try {
      slot.connection.send(stream_, *event);
    } catch (...) {
      fail();
      if (slot.asked.exchange(false)) leave(slot);
    }
  }

  /// The I/O thread: hands a whole reply back into the graph. False if nothing was asked for.
  bool receive(Slot<LookupGraph>& slot) {
    if (!slot.asked.load(std::memory_order_acquire)) return false;
    try {
      auto const reply = slot.connection.receive(stream_, slot.buffer);
      if (reply.empty()) return true;
      slot.reply_bytes = reply.size();
    } catch (...) {
      fail();
      if (slot.asked.exchange(false)) leave(slot);
      return false;
    }
    slot.asked.store(false, std::memory_order_relaxed);
    circles_[slot.io_thread]->wait.gateway().try_put(&slot);
    return true;
  }

  /// The function_node's body: counts, and passes the connection on for the next event.
  Message count(Message slot) noexcept {
    auto const tally =
        kLight ? slot->io_thread : static_cast<std::size_t>(tbb::this_task_arena::current_thread_index());
    try {
      stream_.accept(slot->event, {slot->buffer.data(), slot->reply_bytes}, tallies_[tally]);
    } catch (...) {
      fail();
    }
    return slot;
  }

  void leave(Slot<LookupGraph>& slot) noexcept {
    Circle& circle = *circles_[slot.io_thread];
    // The last one may be taken out by another thread, while the I/O thread waits for what will never come.
    if (circle.out.fetch_sub(1, std::memory_order_acq_rel) == 1) circle.reactor.interrupt();
  }

  LookupStream const& stream_;
  EventCursor cursor_;
  FirstFailure& failure_;
  std::vector<Counts> tallies_;
  flow::graph graph_;
  std::vector<std::unique_ptr<Circle>> circles_;
};

/// Runs the graph in `arena`, an I/O thread for each worker placed on that worker's CPU.
template <class Policy>
Counts run_lookup_graph(LookupStream const& stream, Setup const& setup, Stopwatch& watch,
                        tbb::task_arena& arena) {
  FirstFailure failure;
  Placing const placing(arena, setup, failure);
  std::unique_ptr<LookupGraph<Policy>> graph;
  arena.execute([&] { graph = std::make_unique<LookupGraph<Policy>>(stream, setup, failure); });
  if (!std::is_same_v<Policy, flow::lightweight>) stand_ready(arena, setup.workers);
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    graph->run_io(w);
  });
  // Not in the graph's wait_for_all() from the start: that spins for tasks as long as the graph waits for
  // I/O.
  Counts counts = time_workers(threads, watch, graph->tallies());
  graph->wait_for_all();
  failure.rethrow();
  watch.add_scheduled(graph->messages());
  return counts;
}

}  // namespace

Counts tbb_flow_graph_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  // The thread that waits for the end is no worker: one more than those that work, and no place in the arena
  // kept for it.
  tbb::global_control const threads(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(setup.workers) + 1);
  tbb::task_arena arena(setup.workers, 0);
  // Worth a task: longer than its making (0.1 us) many times over, and another CPU is there to take it. The
  // I/O threads have the workers' CPUs, so that on one CPU a task would only be another switch.
  constexpr std::chrono::microseconds kWorthATask{1};
  if (setup.workers == 1 || stream.grain() < kWorthATask)
    return run_lookup_graph<flow::lightweight>(stream, setup, watch, arena);
  return run_lookup_graph<flow::queueing>(stream, setup, watch, arena);
}

}  // namespace tally
