// limit on `ingest`: bare epoll loops, or bare rings of io_uring (uring.cpp).
#include <sys/epoll.h>

#include <cerrno>
#include <cstdint>
#include <iterator>
#include <list>
#include <system_error>
#include <utility>

#include "models/limit/uring.hpp"
#include "models/model.hpp"
#include "models/runtime/io/connection.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
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
