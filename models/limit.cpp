// limit: not a model to choose, but the least code that can do the job: a static split; bare epoll
// loops, or bare rings of io_uring (limit_uring.cpp).
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <system_error>
#include <vector>

#include "models/connection.hpp"
#include "models/event_cursor.hpp"
#include "models/ingest_connection.hpp"
#include "models/limit_uring.hpp"
#include "models/model.hpp"
#include "models/placement.hpp"
#include "models/worker_threads.hpp"

namespace tally {
namespace {

/// Runs `prepare(worker)` and, once all workers have, `work(worker)` on `setup.workers` placed threads, the
/// calling one among them as worker 0, which spares it being woken; the watch starts between the two and
/// stops when `tallies` are merged. Throws what the first of them threw.
Counts run_split(Setup const& setup, Stopwatch& watch, std::vector<Counts>& tallies,
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

/// One worker's connections, and the loop over them with nothing between epoll and the counting.
class BareLoop {
 public:
  BareLoop(LookupStream const& stream, int connections)
      : stream_(stream), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail("epoll_create1");
    slots_.reserve(static_cast<std::size_t>(connections));
    for (int c = 0; c < connections; ++c) {
      Slot& slot = slots_.emplace_back(connect_non_blocking(stream.service()));
      epoll_event event{.events = EPOLLIN, .data = {.ptr = &slot}};
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, slot.connection.fd(), &event) != 0) fail("epoll_ctl");
    }
  }
  ~BareLoop() { close(epoll_); }
  BareLoop(BareLoop const&) = delete;
  BareLoop& operator=(BareLoop const&) = delete;

  void run(EventCursor& cursor, Counts& tally) {
    for (Slot& slot : slots_) ask(slot, cursor);
    while (waiting_ > 0) {
      int const n = epoll_wait(epoll_, events_, kEventsAtOnce, -1);
      if (n < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < n; ++i) {
        Slot& slot = *static_cast<Slot*>(events_[i].data.ptr);
        auto const reply = slot.connection.receive(stream_, buffer_);
        if (reply.empty()) continue;
        stream_.accept(slot.event, reply, tally);
        --waiting_;
        ask(slot, cursor);
      }
    }
  }

 private:
  struct Slot {
    explicit Slot(Connection&& c) : connection(std::move(c)) {}
    Connection connection;
    std::uint64_t event = 0;
  };
  static constexpr int kEventsAtOnce = 256;

  void ask(Slot& slot, EventCursor& cursor) {
    auto const event = cursor.take();
    if (!event) return;
    slot.event = *event;
    slot.connection.send(stream_, *event);
    ++waiting_;
  }
  [[noreturn]] static void fail(char const* what) {
    throw std::system_error(errno, std::generic_category(), what);
  }

  LookupStream const& stream_;
  int epoll_;
  std::vector<Slot> slots_;
  std::size_t waiting_ = 0;
  epoll_event events_[kEventsAtOnce];
  ReceiveBuffer buffer_;
};

template <class Loop>
Counts look_up_with(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<std::unique_ptr<Loop>> loops(static_cast<std::size_t>(setup.workers));
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  EventCursor cursor(stream.events());
  return run_split(
      setup, watch, tallies,
      [&](int w) {
        loops[static_cast<std::size_t>(w)] =
            std::make_unique<Loop>(stream, share_of_in_flight(setup.in_flight, setup.workers, w));
      },
      [&](int w) {
        try {
          loops[static_cast<std::size_t>(w)]->run(cursor, tallies[static_cast<std::size_t>(w)]);
        } catch (...) {
          cursor.stop();
          throw;
        }
      });
}

}  // namespace

Counts limit_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Range> const parts = stream.split(static_cast<std::size_t>(setup.workers));
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  return run_split(
      setup, watch, tallies, [](int) {},
      [&](int w) { stream.count(parts[static_cast<std::size_t>(w)], tallies[static_cast<std::size_t>(w)]); });
}

Counts limit_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  return setup.io == Io::io_uring ? look_up_with<BareRingLoop>(stream, setup, watch)
                                  : look_up_with<BareLoop>(stream, setup, watch);
}

namespace {

/// One worker's connections to the `ingest` stream, and nothing between epoll and the counting.
class BareServer {
 public:
  BareServer(IngestStream const& stream, int worker)
      : stream_(stream), worker_(worker), acceptor_(stream), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_.get() < 0) fail("epoll_create1");
    add(acceptor_.fd(), nullptr);
    add(stream.stop_fd(), this);
  }

  void run() {
    stream_.listening();
    for (bool stopped = false; !stopped;) {
      int const n = epoll_wait(epoll_.get(), events_, kEventsAtOnce, -1);
      if (n < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < n; ++i) {
        void* const what = events_[i].data.ptr;
        if (what == nullptr)
          accept_some(kAcceptsAtOnce);
        else if (what == this)
          stopped = true;
        else if (auto const bits = reinterpret_cast<std::uintptr_t>(what); (bits & kReply) != 0)
          count_reply(*reinterpret_cast<Client*>(bits - kReply));
        else
          serve(*static_cast<Client*>(what));
      }
      gone_.clear();
    }
    accept_some(acceptor_.waiting());
    while (!clients_.empty()) {
      Client& client = clients_.front();
      receive_last(client.connection, stream_, worker_, buffer_);
      clients_.erase(client.place);
    }
  }

 private:
  struct Client {
    ServedConnection connection;
    bool paused = false;
    std::list<Client>::iterator place{};
  };
  static constexpr int kEventsAtOnce = 256;
  /// Marks a client's address as that of its replies.
  static constexpr std::uintptr_t kReply = 1;

  void add(int fd, void* what) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = what}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }
  void accept_some(int most) {
    OwnedFd socket;
    for (int i = 0; i < most && (socket = acceptor_.accept()).get() >= 0; ++i) {
      Client& client = clients_.emplace_back(
          ServedConnection{.socket = std::move(socket), .lookups = lookups_of(stream_, worker_, true)});
      client.place = std::prev(clients_.end());
      add(client.connection.socket.get(), &client);
      if (client.connection.lookups)
        add(client.connection.lookups->fd(),
            reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(&client) | kReply));
    }
  }
  void serve(Client& client) {
    ServedConnection& connection = client.connection;
    if (connection.waits()) {
      client.paused = epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.socket.get(), nullptr) == 0;
      return;
    }
    // A client that has gone may still stand among the events at hand.
    if (receive_ready(connection, stream_, worker_, buffer_) == Arrived::the_end)
      gone_.splice(gone_.end(), clients_, client.place);
    else if (connection.waits())
      connection.lookups->ask();
  }
  void count_reply(Client& client) {
    EventLookups& lookups = *client.connection.lookups;
    if (!lookups.receive_and_count(reply_) || lookups.ask() || !client.paused) return;
    add(client.connection.socket.get(), &client);
    client.paused = false;
  }
  [[noreturn]] static void fail(char const* what) {
    throw std::system_error(errno, std::generic_category(), what);
  }

  IngestStream const& stream_;
  int worker_;
  Acceptor acceptor_;
  OwnedFd epoll_;
  std::list<Client> clients_, gone_;
  epoll_event events_[kEventsAtOnce];
  ReadBuffer buffer_;
  ReceiveBuffer reply_;
};

template <class Server>
Counts serve_bare(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    Server server(stream, w);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    StopOnFailure const stop_others(stream);
    server.run();
    self.finish();
  });
  return serve_with(threads, stream, watch);
}

}  // namespace

Counts limit_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  return setup.io == Io::io_uring ? serve_bare<BareRingServer>(stream, setup, watch)
                                  : serve_bare<BareServer>(stream, setup, watch);
}

}  // namespace tally
