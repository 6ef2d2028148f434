// tbb_flow_graph: oneTBB's flow graph; input_node to function_node, async_node for what waits.
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "models/connection.hpp"
#include "models/event_cursor.hpp"
#include "models/failure.hpp"
#include "models/model.hpp"
#include "models/placement.hpp"
#include "models/reactor.hpp"

namespace tally {
namespace {

namespace flow = tbb::flow;

/// Places each thread that enters the arena by its slot.
class Placing final : public tbb::task_scheduler_observer {
 public:
  Placing(tbb::task_arena& arena, Setup const& setup) : tbb::task_scheduler_observer(arena), setup_(setup) {
    observe(true);
  }
  ~Placing() override { observe(false); }
  void on_scheduler_entry(bool) override {
    place_worker(setup_, tbb::this_task_arena::current_thread_index());
  }

 private:
  Setup const& setup_;
};

/// Holds every thread of the arena at once, so that all stand ready: oneTBB starts its threads when work
/// first comes.
void stand_ready(int workers, Stopwatch& watch) {
  std::latch here(workers);
  tbb::task_group group;
  for (int w = 0; w < workers; ++w) {
    group.run([&] {
      watch.worker_ready();
      here.arrive_and_wait();
    });
  }
  group.wait();
}

/// Adjacent batches that go through the graph as one message, as other models' workers take runs of adjacent
/// batches: oneTBB's manual asks for tasks of 10,000 cycles and more. With a message for each batch, the
/// right to read goes round among idle threads, which steal it, and every batch waits for one core's cache
/// lines to reach another: measured on 2 CPUs, 0.5 us of CPU time a batch, where this takes 0.05.
struct Chunk {
  static constexpr std::size_t kBatches = 32;
  std::array<Range, kBatches> batches;
  std::size_t size = 0;
};

/// Reads the stream in chunks. Called by one thread at a time: an input_node is serial.
class ChunkReader {
 public:
  ChunkReader(CpuStream const& stream, Setup const& setup)
      : reader_(stream, setup.batch), share_(8 * static_cast<std::size_t>(setup.workers)) {}

  /// The next batches, none at the stream's end. Chunks grow with what has been read, so that a short stream
  /// of long batches is still shared out among all workers.
  Chunk next() noexcept {
    std::size_t const most = std::clamp<std::size_t>(read_ / share_, 1, Chunk::kBatches);
    Chunk chunk;
    while (chunk.size < most && !(chunk.batches[chunk.size] = reader_.next()).empty()) ++chunk.size;
    read_ += chunk.size;
    return chunk;
  }

 private:
  BatchReader reader_;
  std::size_t share_;
  std::size_t read_ = 0;
};

}  // namespace

Counts tbb_flow_graph_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  auto const workers = static_cast<std::size_t>(setup.workers);
  tbb::global_control const threads(tbb::global_control::max_allowed_parallelism, workers);
  tbb::task_arena arena(setup.workers);
  Placing const placing(arena, setup);
  std::vector<Counts> tallies;
  for (std::size_t w = 0; w < workers; ++w) tallies.push_back(stream.empty_tally());

  arena.execute([&] {
    stand_ready(setup.workers, watch);
    flow::graph graph;
    ChunkReader chunks(stream, setup);
    flow::input_node<Chunk> source(graph, [&](tbb::flow_control& control) {
      Chunk const chunk = chunks.next();
      if (chunk.size == 0) control.stop();
      return chunk;
    });
    // Unlimited, yet bounded: the thread that reads a chunk gets the counting of it as its next task, and
    // only then may another steal the reading of the next. So no more chunks are ever outside the reader than
    // there are workers.
    flow::function_node<Chunk> count(graph, flow::unlimited, [&](Chunk const& chunk) {
      auto const thread = static_cast<std::size_t>(tbb::this_task_arena::current_thread_index());
      for (std::size_t i = 0; i < chunk.size; ++i) stream.count(chunk.batches[i], tallies[thread]);
      return flow::continue_msg{};
    });
    flow::make_edge(source, count);
    watch.start();
    source.activate();
    graph.wait_for_all();
    for (std::size_t w = 1; w < workers; ++w) tallies[0].merge(std::move(tallies[w]));
    watch.stop();
  });
  return std::move(tallies[0]);
}

namespace {

/// A connection that goes round the graph: out to wait, back with its reply to be counted.
template <class Graph>
struct Slot : ReadyHandler {
  Slot(Graph& g, std::size_t thread, Connection&& c)
      : ReadyHandler{receive}, graph(g), io_thread(thread), connection(std::move(c)) {}
  static void receive(ReadyHandler& self) {
    auto& slot = static_cast<Slot&>(self);
    slot.graph.receive(slot);
  }
  Graph& graph;
  std::size_t io_thread;
  Connection connection;
  std::uint64_t event = 0;
  ReceiveBuffer buffer;
  std::size_t reply_bytes = 0;
};

/// async_node for what waits, function_node for what counts, in a circle: each connection is a message, so
/// exactly as many events are in flight as there are connections, and nothing needs limiting. Behind the
/// async_node, an I/O thread for each worker waits in the reactor.
///
/// Light work (Policy lightweight: the library's own means for bodies shorter than a task's 0.1 us) is done
/// by the I/O thread in passing the message on; heavy work becomes tasks for the arena's threads. What is
/// thrown is kept, not thrown on: a lightweight body must be noexcept, else the library ignores the policy.
template <class Policy>
class LookupGraph {
  using Message = Slot<LookupGraph>*;
  static constexpr bool kLight = std::is_same_v<Policy, flow::lightweight>;

 public:
  LookupGraph(LookupStream const& stream, Setup const& setup)
      : stream_(stream),
        cursor_(stream.events()),
        wait_(graph_, flow::unlimited, [this](Message slot, auto&) noexcept { ask(*slot); }),
        count_(graph_, flow::unlimited, [this](Message slot) noexcept { return count(slot); }) {
    flow::make_edge(wait_, count_);
    flow::make_edge(count_, wait_);
    auto const workers = static_cast<std::size_t>(setup.workers);
    // One more than workers: an arena for one thread has two slots, and its thread may sit in either.
    for (std::size_t t = 0; t <= workers; ++t) tallies_.push_back(stream.empty_tally());
    for (std::size_t w = 0; w < workers; ++w) {
      io_.push_back(std::make_unique<IoThread>());
      int const share = share_of_in_flight(setup.in_flight, setup.workers, static_cast<int>(w));
      io_[w]->slots.reserve(static_cast<std::size_t>(share));
      io_[w]->out.store(share, std::memory_order_relaxed);
      for (int c = 0; c < share; ++c) {
        auto& slot = io_[w]->slots.emplace_back(*this, w, connect_non_blocking(stream.service()));
        io_[w]->reactor.add(slot.connection.fd(), slot);
      }
    }
  }

  /// What I/O thread `w` does: puts its connections into the graph, then waits for them until all are out of
  /// it.
  void run_io(std::size_t w) {
    IoThread& io = *io_[w];
    for (auto& slot : io.slots) wait_.try_put(&slot);
    while (io.out.load(std::memory_order_acquire) > 0) io.reactor.run_once(std::nullopt);
  }

  /// The counts, once every I/O thread has returned from run_io(). Throws the first failure.
  Counts take_counts() {
    graph_.wait_for_all();
    failure_.rethrow();
    for (std::size_t w = 1; w < tallies_.size(); ++w) tallies_[0].merge(std::move(tallies_[w]));
    return std::move(tallies_[0]);
  }

  void fail(std::exception_ptr failure) noexcept {
    failure_.set(std::move(failure));
    cursor_.stop();
  }

 private:
  friend Slot<LookupGraph>;
  struct IoThread {
    Reactor reactor;
    std::vector<Slot<LookupGraph>> slots;
    std::atomic<int> out{0};  // connections that are in the graph or waiting
  };

  /// The async_node's body: sends the next event's request, or takes the connection out of the graph when
  /// there is none. The socket is in its I/O thread's reactor already, so that any thread may send.
  void ask(Slot<LookupGraph>& slot) noexcept {
    try {
      if (auto const event = cursor_.take()) {
        slot.event = *event;
        slot.connection.send(stream_, *event);
        return;
      }
    } catch (...) {
      fail(std::current_exception());
    }
    leave(slot);
  }

  /// The I/O thread: hands a whole reply back into the graph.
  void receive(Slot<LookupGraph>& slot) {
    try {
      auto const reply = slot.connection.receive(stream_, slot.buffer);
      if (reply.empty()) return;
      slot.reply_bytes = reply.size();
      wait_.gateway().try_put(&slot);
    } catch (...) {
      fail(std::current_exception());
      leave(slot);
    }
  }

  /// The function_node's body: counts, and passes the connection on for the next event.
  Message count(Message slot) noexcept {
    auto const tally =
        kLight ? slot->io_thread : static_cast<std::size_t>(tbb::this_task_arena::current_thread_index());
    try {
      stream_.accept(slot->event, {slot->buffer.data(), slot->reply_bytes}, tallies_[tally]);
    } catch (...) {
      fail(std::current_exception());
    }
    return slot;
  }

  void leave(Slot<LookupGraph>& slot) noexcept {
    IoThread& io = *io_[slot.io_thread];
    // The last one may be taken out by another thread, while the I/O thread waits for what will never come.
    if (io.out.fetch_sub(1, std::memory_order_acq_rel) == 1) io.reactor.interrupt();
  }

  LookupStream const& stream_;
  EventCursor cursor_;
  FirstFailure failure_;
  std::vector<Counts> tallies_;
  std::vector<std::unique_ptr<IoThread>> io_;
  flow::graph graph_;
  flow::async_node<Message, Message, Policy> wait_;
  flow::function_node<Message, Message, Policy> count_;
};

/// Runs the graph in `arena`, an I/O thread for each worker placed on that worker's CPU.
template <class Policy>
Counts run_lookup_graph(LookupStream const& stream, Setup const& setup, Stopwatch& watch,
                        tbb::task_arena& arena) {
  std::unique_ptr<LookupGraph<Policy>> graph;
  arena.execute([&] { graph = std::make_unique<LookupGraph<Policy>>(stream, setup); });
  std::latch ready(setup.workers + 1), go(1), done(setup.workers);
  std::vector<std::jthread> threads;
  for (int w = 0; w < setup.workers; ++w) {
    threads.emplace_back([&, w] {
      try {
        place_worker(setup, w);
        watch.worker_ready();
      } catch (...) {
        graph->fail(std::current_exception());
      }
      ready.count_down();
      go.wait();
      try {
        graph->run_io(static_cast<std::size_t>(w));
      } catch (...) {
        graph->fail(std::current_exception());
      }
      done.count_down();
    });
  }
  ready.arrive_and_wait();
  watch.start();
  go.count_down();
  // Not in wait_for_all() from the start: that spins for tasks as long as the graph waits for I/O.
  done.wait();
  Counts counts = graph->take_counts();
  watch.stop();
  threads.clear();
  return counts;
}

}  // namespace

Counts tbb_flow_graph_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  // The thread that waits for the end is no worker: one more than those that work, and no place in the arena
  // kept for it.
  tbb::global_control const threads(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(setup.workers) + 1);
  tbb::task_arena arena(setup.workers, 0);
  Placing const placing(arena, setup);
  if (stream.grain().count() == 0) return run_lookup_graph<flow::lightweight>(stream, setup, watch, arena);
  return run_lookup_graph<flow::queueing>(stream, setup, watch, arena);
}

}  // namespace tally
