// tbb_flow_graph on the `ingest` stream: an I/O thread reads, and feeds whole lines to the graph.
#include <sys/socket.h>
#include <tbb/concurrent_queue.h>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <semaphore>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/io/event_lookups.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/io/reactor.hpp"
#include "models/runtime/io/reactor_socket.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"
#include "models/tbb_flow_graph/arena.hpp"

namespace tally {
namespace {

namespace flow = tbb::flow;

/// Whole lines of one connection, on their way through the graph.
struct Chunk {
  std::size_t bytes = 0;
  ReadBuffer buffer;
};

/// The chunks that there are: as many as keep all threads busy, and no more, so that a graph that is behind
/// keeps the I/O thread from reading, and with it the senders from sending.
class ChunkPool {
 public:
  explicit ChunkPool(std::size_t chunks) : available_(static_cast<std::ptrdiff_t>(chunks)) {
    for (std::size_t i = 0; i < chunks; ++i)
      free_.push(chunks_.emplace_back(std::make_unique<Chunk>()).get());
  }
  /// Waits for one.
  Chunk* take() {
    available_.acquire();
    Chunk* chunk = nullptr;
    while (!free_.try_pop(chunk)) std::this_thread::yield();  // it is being put back
    return chunk;
  }
  void give_back(Chunk* chunk) {
    free_.push(chunk);
    available_.release();
  }
  /// Waits until all are back.
  void wait_for_all() {
    for (std::size_t i = 0; i < chunks_.size(); ++i) available_.acquire();
    available_.release(static_cast<std::ptrdiff_t>(chunks_.size()));
  }

 private:
  std::vector<std::unique_ptr<Chunk>> chunks_;
  tbb::concurrent_queue<Chunk*> free_;
  std::counting_semaphore<> available_;
};

/// An I/O thread that reads, cuts after the last line end, and feeds whole lines to a function_node, which
/// any thread of the arena may count: all that was there to be read, or as much as a buffer holds. With one
/// worker there is no other thread to take it, so that the node counts in passing (Policy lightweight; its
/// body must be noexcept, else the library ignores the policy).
template <class Policy>
class IngestGraph {
 public:
  IngestGraph(IngestStream const& stream, Setup const& setup, FirstFailure& failure)
      : stream_(stream),
        failure_(failure),
        pool_(4 * static_cast<std::size_t>(setup.workers)),
        count_(graph_, flow::unlimited,
               [this](Chunk* chunk) noexcept {
                 count(chunk);
                 return flow::continue_msg{};
               }),
        ask_(graph_, flow::unlimited, [this](Client* client, auto&) noexcept { ask(*client); }),
        count_reply_(graph_, flow::unlimited,
                     [this](Client* client) noexcept {
                       count_reply(*client);
                       return client;
                     }),
        acceptor_(stream),
        reactor_(setup.io, ring_buffers(stream)),
        listening_(*this),
        stopping_(*this) {
    flow::make_edge(ask_, count_reply_);
    flow::make_edge(count_reply_, ask_);
    reactor_.add(acceptor_.fd(), listening_);
    reactor_.add(stream.stop_fd(), stopping_);
  }
  /// Also where the I/O thread has failed, nothing goes that a task still uses.
  ~IngestGraph() {
    graph_.wait_for_all();
    while (clients_.first() != nullptr) delete static_cast<Client*>(clients_.first());
  }

  /// What the I/O thread does: returns when the stream has stopped, and all is counted.
  void run_io() {
    reactor_.attach();
    stream_.listening();
    while (!stopped_) {
      reactor_.run_once(std::nullopt);
      flush();
      for (Client* client = nullptr; looked_up_.try_pop(client);) {
        client->in_graph = false;
        client->watch();
      }
    }
    if (stream_.lookups() != nullptr) graph_.wait_for_all();  // no connection goes that a task still uses
    accept_some(acceptor_.waiting());
    acceptor_.close();
    // What is left of each, in place of a chunk: few bytes, as a rule.
    while (clients_.first() != nullptr) {
      auto* const client = static_cast<Client*>(clients_.first());
      resume_line(*client);
      receive_last(client->connection, stream_, kIoWorker, *buffer_);
      delete client;
    }
    pool_.wait_for_all();
  }

 private:
  /// A connection. The beginning of a line is kept in `part`, and goes in front of what is read next; a line
  /// that is longer than any may be is left to the tally, by `connection.rest`, to report and skip.
  struct Client : ReactorSocket {
    /// What the lookup service answers.
    struct Replies : ReactorSocket {
      explicit Replies(Client& c)
          : ReactorSocket(c.graph.reactor_, c.connection.lookups->fd(), c.graph.replies_, arrived,
                          Wanted::bytes),
            client(c) {
        c.connection.lookups->join(transfer());
      }
      static bool arrived(ReadyHandler& self) {
        Client& client = static_cast<Replies&>(self).client;
        return client.graph.receive_reply(client);
      }
      Client& client;
      ReceiveBuffer buffer;
      std::span<char const> reply{};
    };

    Client(IngestGraph& g, ServedConnection c)
        : ReactorSocket(g.reactor_, c.socket.get(), g.clients_, readable, wanted_of(c)),
          graph(g),
          connection(std::move(c)) {
      connection.transfer = transfer();
      if (connection.lookups) replies = std::make_unique<Replies>(*this);
    }
    static bool readable(ReadyHandler& self) {
      auto& client = static_cast<Client&>(self);
      if (client.in_graph) return client.pause();
      if (client.replies)
        client.graph.look_up(client);
      else
        client.graph.serve(client);
      return true;
    }
    IngestGraph& graph;
    ServedConnection connection;
    std::string part{};
    std::unique_ptr<Replies> replies;
    bool in_graph = false;  ///< its events are being looked up
  };
  struct Listening : ReadyHandler {
    explicit Listening(IngestGraph& g) : ReadyHandler{arrived}, graph(g) {}
    static bool arrived(ReadyHandler& self) {
      static_cast<Listening&>(self).graph.accept_some(kAcceptsAtOnce);
      return true;
    }
    IngestGraph& graph;
  };
  struct Stopping : ReadyHandler {
    explicit Stopping(IngestGraph& g) : ReadyHandler{stopped}, graph(g) {}
    static bool stopped(ReadyHandler& self) {
      static_cast<Stopping&>(self).graph.stopped_ = true;
      return false;
    }
    IngestGraph& graph;
  };
  static constexpr int kIoWorker = 0;

  void accept_some(int most) {
    for (int i = 0; i < most; ++i) {
      OwnedFd socket = acceptor_.accept();
      if (socket.get() < 0) return;
      // In the list, which owns it.
      new Client(*this, {.socket = std::move(socket), .lookups = lookups_of(stream_, kIoWorker, true)});
    }
  }

  /// Reads what is there behind what the chunk in hand already has: at a low rate, many connections' lines
  /// are one task.
  void serve(Client& client) {
    for (int i = 0; i < kReadsAtOnce; ++i) {
      if (filling_ == nullptr) filling_ = pool_.take();
      char* const begin = filling_->buffer.bytes.data() + filling_->bytes;
      std::size_t const before = client.part.size();
      std::memcpy(begin, client.part.data(), before);
      std::size_t const room = ReadBuffer::kBytes - filling_->bytes - before;
      Transfer const& transfer = client.connection.transfer;
      Received const received =
          transfer.receive(client.connection.socket.get(), {begin + before, room}, MSG_DONTWAIT);
      if (received.error == EAGAIN) return;
      if (received.bytes.empty()) return end(client, received.error != 0);
      std::size_t const n = received.bytes.size();
      if (received.bytes.data() != begin + before) std::memcpy(begin + before, received.bytes.data(), n);
      feed(client, {begin, before + n});
      if (n < room && !transfer.more()) return;
    }
  }

  /// Keeps the whole lines of `all` in the chunk in hand, and what is left for the connection's next.
  void feed(Client& client, std::string_view all) {
    std::size_t const end = all.rfind('\n');
    std::size_t const whole = end == std::string_view::npos ? 0 : end + 1;
    client.part.assign(all.substr(whole));
    if (client.part.size() > stream_.line_max() || client.connection.rest.too_long) {
      // Rare, so here, and in order: the tally reports a line that is too long once, and skips to its end.
      if (!failure_.guard([&] { stream_.receive(kIoWorker, all, client.connection.rest); })) stream_.stop();
      client.part.clear();
      if (client.connection.rest.too_long) return;
      client.part = std::move(client.connection.rest.part);
      client.connection.rest = {};
      return;
    }
    filling_->bytes += whole;
    // So much room must be left as a line and a good read need.
    if (filling_->bytes > ReadBuffer::kBytes / 4) flush();
  }

  /// Sends the chunk in hand into the graph.
  void flush() {
    if (filling_ == nullptr) return;
    Chunk* const chunk = std::exchange(filling_, nullptr);
    if (chunk->bytes == 0)
      pool_.give_back(chunk);
    else
      count_.try_put(chunk);
  }

  void end(Client& client, bool broken) {
    resume_line(client);
    stream_.end(kIoWorker, client.connection.rest, broken);
    delete &client;
  }
  /// What was kept of a line, to where the stream looks for it.
  static void resume_line(Client& client) {
    if (!client.connection.rest.too_long) client.connection.rest.part = std::move(client.part);
  }

  void count(Chunk* chunk) noexcept {
    bool const ok = failure_.guard([&] {
      LineRest rest;
      stream_.receive(this_thread(), {chunk->buffer.bytes.data(), chunk->bytes}, rest);
    });
    if (!ok) stream_.stop();
    chunk->bytes = 0;
    pool_.give_back(chunk);
  }

  /// Reads events that are to be looked up, and sends their connection into the circle of ask_ and
  /// count_reply_, where it stays until none is left: as many events wait at once as connections are in it,
  /// so that nothing needs limiting.
  void look_up(Client& client) {
    if (receive_ready(client.connection, stream_, kIoWorker, *buffer_) == Arrived::the_end) {
      delete &client;
    } else if (client.connection.waits()) {
      client.in_graph = true;
      ask_.try_put(&client);
    }
  }

  /// ask_'s body: the next event, or back to be read. The reply is the I/O thread's to receive.
  void ask(Client& client) noexcept {
    bool asked = false;
    if (!failure_.guard([&] { asked = client.connection.lookups->ask(); })) return stream_.stop();
    if (asked) return;
    looked_up_.push(&client);
    if constexpr (!kLight) reactor_.interrupt();
  }

  /// On the I/O thread: hands a whole reply back into the graph.
  bool receive_reply(Client& client) {
    auto& replies = *client.replies;
    replies.reply = client.connection.lookups->receive(replies.buffer);
    if (!replies.reply.empty()) ask_.gateway().try_put(&client);
    return true;
  }

  /// count_reply_'s body.
  void count_reply(Client& client) noexcept {
    if (!failure_.guard([&] { client.connection.lookups->count(client.replies->reply, this_thread()); }))
      stream_.stop();
  }

  /// The tally of a thread of the arena, or of the I/O thread. A tally has a mutex: should there be more
  /// threads than were asked for, two share one.
  int this_thread() const noexcept {
    return std::max(0, tbb::this_task_arena::current_thread_index()) % stream_.workers();
  }

  static constexpr bool kLight = std::is_same_v<Policy, flow::lightweight>;
  IngestStream const& stream_;
  FirstFailure& failure_;
  ChunkPool pool_;
  flow::graph graph_;
  flow::function_node<Chunk*, flow::continue_msg, Policy> count_;
  flow::async_node<Client*, Client*, Policy> ask_;
  flow::function_node<Client*, Client*, Policy> count_reply_;
  Acceptor acceptor_;
  Reactor reactor_;
  Listening listening_;
  Stopping stopping_;
  bool stopped_ = false;
  ReactorSocket::List clients_;               // owned
  ReactorSocket::List replies_;               // each a client's
  tbb::concurrent_queue<Client*> looked_up_;  // to be read again
  std::unique_ptr<ReadBuffer> buffer_ = std::make_unique<ReadBuffer>();
  Chunk* filling_ = nullptr;  // the chunk in hand, if there is one
};

template <class Policy>
Counts run_ingest_graph(IngestStream const& stream, Setup const& setup, Stopwatch& watch,
                        tbb::task_arena& arena) {
  // Which this thread loses when it is placed as one of the arena's.
  CpusOfThisThread const all_cpus;
  FirstFailure failure;
  Placing const placing(arena, setup, failure);
  std::unique_ptr<IngestGraph<Policy>> graph;
  arena.execute([&] { graph = std::make_unique<IngestGraph<Policy>>(stream, setup, failure); });
  if (!std::is_same_v<Policy, flow::lightweight>) stand_ready(arena, setup.workers);
  // Workers are the arena's threads; the one that reads has a place on any of their CPUs.
  for (int w = 0; w < setup.workers; ++w) watch.worker_ready();
  constexpr int kIoThreads = 1;
  WorkerThreads threads(kIoThreads, [&](int, WorkerThreads::Self& self) {
    all_cpus.restore();
    if (!self.stand_ready()) return;
    StopOnFailure const stop(stream);
    graph->run_io();
    self.finish();
  });
  Counts counts = serve_with(threads, stream, watch);
  graph.reset();
  failure.rethrow();
  return counts;
}

}  // namespace

Counts tbb_flow_graph_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  tbb::global_control const threads(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(setup.workers) + 1);
  tbb::task_arena arena(setup.workers, 0);
  if (setup.workers == 1) return run_ingest_graph<flow::lightweight>(stream, setup, watch, arena);
  return run_ingest_graph<flow::queueing>(stream, setup, watch, arena);
}

}  // namespace tally
