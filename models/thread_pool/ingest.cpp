// thread_pool on the `ingest` stream: a thread for each connection.
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/io/ingest_connection.hpp"
#include "models/runtime/small_stacks.hpp"

namespace tally {
namespace {

/// What the threads that run on one CPU share: one of them at a time reads, and counts what it has read. Were
/// each to read into a buffer of its own and then wait for the tally, which may be held by a thread that was
/// put off the CPU, hundreds of buffers would be filled meanwhile, and be in no cache when they are counted.
struct Turn {
  std::mutex mutex;
  ReadBuffer buffer;
};

/// Threads that serve a connection each, and then wait for another: as many as there are connections, and
/// those that were needed lately. To make and end a thread costs as much as counting thousands of lines.
class ConnectionThreads {
 public:
  ConnectionThreads(IngestStream const& stream, Setup const& setup)
      : stream_(stream), setup_(setup), turns_(static_cast<std::size_t>(stream.workers())) {}
  /// Joins.
  ~ConnectionThreads() {
    end_all();
    for (Thread& t : threads_) t.thread.join();
  }
  ConnectionThreads(ConnectionThreads const&) = delete;
  ConnectionThreads& operator=(ConnectionThreads const&) = delete;

  /// Serves the connection on a thread of its own. Gives it back if there can be no more threads.
  OwnedFd begin(OwnedFd socket) {
    std::unique_lock lock(mutex_);
    ended_.clear();  // joins; each is about to return
    ++serving_;
    if (idle_ > waiting_.size()) {
      waiting_.push_back(std::move(socket));
      lock.unlock();
      arrived_.notify_one();
      return OwnedFd();
    }
    Thread& added = threads_.emplace_front();
    added.client.socket = std::move(socket);
    try {
      added.thread = std::jthread([this, self = threads_.begin()] { run(self); });
      return OwnedFd();
    } catch (std::system_error const&) {
      OwnedFd back = std::move(added.client.socket);
      threads_.pop_front();
      --serving_;
      return back;
    }
  }

  /// Lets each count what is there; returns when all have.
  void end_all() {
    std::unique_lock lock(mutex_);
    ending_.store(true, std::memory_order_seq_cst);
    // Wakes those that wait for bytes: to these it looks like the end.
    for (Thread const& t : threads_) ::shutdown(t.client.socket.get(), SHUT_RD);
    arrived_.notify_all();
    all_served_.wait(lock, [&] { return serving_ == 0; });
  }
  void rethrow() const { failure_.rethrow(); }

 private:
  struct Thread {
    ServedConnection client{};  // no socket: waits for one
    std::jthread thread{};      // last: joined before the rest goes
  };
  using Self = std::list<Thread>::iterator;

  /// So long a thread waits for another connection before it ends.
  static constexpr std::chrono::seconds kIdleFor{10};

  void run(Self self) {
    wait_for_turns();
    do {
      if (!failure_.guard([&] { serve(self->client); })) stream_.stop();
    } while (take_another(self));
  }

  /// From now on this thread, when it is woken, waits for its turn and interrupts no other that is counting
  /// (SCHED_BATCH, sched(7)): else a thousand threads that are woken one after the other would all be in the
  /// middle of something, and each go on with cold caches.
  static void wait_for_turns() noexcept {
    sched_param const no_priority{};
    ::sched_setscheduler(0, SCHED_BATCH, &no_priority);  // refused: slower, and as right
  }

  /// The connection is served: waits for the next. False if none came: the thread ends.
  bool take_another(Self self) {
    ServedConnection served;
    std::unique_lock lock(mutex_);
    std::swap(served, self->client);
    lock.unlock();
    served.socket.reset();
    lock.lock();
    if (--serving_ == 0) all_served_.notify_all();
    ++idle_;
    arrived_.wait_for(lock, kIdleFor,
                      [&] { return !waiting_.empty() || ending_.load(std::memory_order_seq_cst); });
    --idle_;
    if (!waiting_.empty()) {
      self->client.socket = std::move(waiting_.back());
      waiting_.pop_back();
      return true;
    }
    // At the end, the list is its owner's alone.
    if (!ending_.load(std::memory_order_seq_cst)) ended_.splice(ended_.end(), threads_, self);
    return false;
  }

  /// Calls `read(worker, buffer)` when it is this thread's turn; where that waits for lookups, at once.
  template <class Read>
  auto in_turn(Read const& read) {
    int const here = tally_here();
    if (stream_.lookups() != nullptr) {
      auto const own = std::make_unique_for_overwrite<ReadBuffer>();  // little of it is touched
      return read(here, *own);
    }
    Turn& turn = turns_[static_cast<std::size_t>(here)];
    std::scoped_lock const lock(turn.mutex);
    return read(here, turn.buffer);
  }

  void serve(ServedConnection& client) {
    client.lookups = lookups_of(stream_, tally_here(), false);
    stream_.serving();
    Arrived arrived = Arrived::all;
    while (arrived != Arrived::the_end && !ending_.load(std::memory_order_seq_cst)) {
      if (arrived == Arrived::all) wait_readable(client.socket.get());
      arrived = in_turn([&](int w, ReadBuffer& buffer) { return receive_ready(client, stream_, w, buffer); });
    }
    if (arrived == Arrived::the_end) return;
    in_turn([&](int w, ReadBuffer& buffer) { receive_last(client, stream_, w, buffer); });
  }

  /// Waits for bytes, or for the end.
  static void wait_readable(int socket) {
    pollfd fd{.fd = socket, .events = POLLIN, .revents = 0};
    if (::poll(&fd, 1, -1) < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "poll");
  }

  /// The tally of the CPU that this thread runs on: one for each CPU, not for each thread, since thousands of
  /// tables would fit into no cache; and not for some of the threads each, since these would then wait for
  /// each other while a CPU is idle.
  int tally_here() const noexcept {
    int const cpu = ::sched_getcpu();
    for (std::size_t w = 0; w < setup_.cpus.size() && w < static_cast<std::size_t>(stream_.workers()); ++w)
      if (setup_.cpus[w] == cpu) return static_cast<int>(w);
    return std::max(0, cpu) % stream_.workers();
  }

  IngestStream const& stream_;
  Setup const& setup_;
  std::vector<Turn> turns_;  // of each CPU, as the tallies are
  FirstFailure failure_;
  std::atomic<bool> ending_{false};
  std::mutex mutex_;  // of what follows
  std::condition_variable arrived_, all_served_;
  std::list<Thread> threads_;     // that serve, or wait for a connection
  std::list<Thread> ended_;       // that return
  std::vector<OwnedFd> waiting_;  // connections that threads have been woken for
  std::size_t idle_ = 0;          // threads that wait for a connection
  std::size_t serving_ = 0;       // connections, waiting ones included
};

}  // namespace

/// The calling thread accepts.
Counts thread_pool_ingest(IngestStream const& stream, Setup const& setup, Stopwatch& watch) {
  SmallStacks const small_stacks;
  ConnectionThreads threads(stream, setup);
  Acceptor acceptor(stream);
  // Workers are the CPUs that the threads share, not the threads: those are the connections.
  for (int w = 0; w < setup.workers; ++w) watch.worker_ready();
  stream.listening();
  for (bool stopped = false; !stopped;) {
    pollfd fds[] = {{.fd = acceptor.fd(), .events = POLLIN, .revents = 0},
                    {.fd = stream.stop_fd(), .events = POLLIN, .revents = 0}};
    if (::poll(fds, std::size(fds), -1) < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "poll");
    stopped = fds[1].revents != 0;
    OwnedFd socket;
    int const most = stopped ? acceptor.waiting() : kAcceptsAtOnce;
    for (int i = 0; i < most && (socket = acceptor.accept_for_thread()).get() >= 0; ++i) {
      OwnedFd refused = threads.begin(std::move(socket));
      if (refused.get() >= 0)
        acceptor.reject(std::move(refused), "tally: too many connections: no more threads ('ulimit -u')\n");
    }
  }
  acceptor.close();
  threads.end_all();
  threads.rethrow();
  return merged_counts(stream, watch);
}

}  // namespace tally
