// thread_pool: std::jthread workers over a bounded queue of tasks; a blocking connection per thread.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <list>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "models/batch_ring.hpp"
#include "models/connection.hpp"
#include "models/event_cursor.hpp"
#include "models/failure.hpp"
#include "models/ingest_connection.hpp"
#include "models/model.hpp"
#include "models/placement.hpp"
#include "models/worker_threads.hpp"

namespace tally {
namespace {

/// The pool's queue: the ring, with threads asleep where it is full or empty. Epochs are futex words (C++20
/// atomic waiting): a thread reads the epoch, looks at the ring, and sleeps only while the epoch is still the
/// same, so a change between look and sleep is never missed.
class BatchQueue {
 public:
  explicit BatchQueue(int workers) : ring_(workers) {}

  /// Waits while the ring is full. The reader only.
  void push(Range batch) {
    while (!ring_.try_push(batch)) wait_for_room();
    if (++pushes_ % kPushesPerWake == 0 && ring_.worth_waking()) wake_workers();
  }

  /// No more batches will come. The reader only.
  void close() {
    closed_.store(true, std::memory_order_release);
    wake_workers();
  }

  /// A run of batches; waits while there is none, and is empty only when the queue is closed and drained.
  Range pop_run() {
    for (;;) {
      std::uint32_t const epoch = pushed_.load(std::memory_order_acquire);
      bool const closed = closed_.load(std::memory_order_acquire);
      if (Range const run = ring_.try_pop_run(); !run.empty()) {
        if (reader_waits_.load(std::memory_order_seq_cst) && ring_.half_empty()) wake_reader();
        return run;
      }
      if (closed) return {};
      pushed_.wait(epoch, std::memory_order_acquire);
    }
  }

 private:
  void wake_workers() {
    pushed_.fetch_add(1, std::memory_order_acq_rel);
    pushed_.notify_all();  // no system call unless somebody sleeps
  }
  void wait_for_room() {
    wake_workers();
    std::uint32_t const epoch = popped_.load(std::memory_order_acquire);
    reader_waits_.store(true, std::memory_order_seq_cst);
    if (ring_.half_empty()) {
      reader_waits_.store(false, std::memory_order_relaxed);
      return;
    }
    popped_.wait(epoch, std::memory_order_acquire);
  }
  void wake_reader() {
    // The waker clears the registration: until the reader runs, later pops do not repeat the system call.
    if (!reader_waits_.exchange(false, std::memory_order_acq_rel)) return;
    popped_.fetch_add(1, std::memory_order_release);
    popped_.notify_one();
  }

  BatchRing ring_;
  std::uint64_t pushes_ = 0;
  alignas(64) std::atomic<std::uint32_t> pushed_{0};
  std::atomic<bool> closed_{false};
  alignas(64) std::atomic<std::uint32_t> popped_{0};
  std::atomic<bool> reader_waits_{false};
};

}  // namespace

Counts thread_pool_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  BatchQueue queue(setup.workers);
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    watch.worker_ready();
    if (!self.stand_ready()) return;
    // A worker that has failed goes on taking batches, or the reader would wait for ever.
    for (Range run; !(run = queue.pop_run()).empty();) {
      self.failure().guard([&] { stream.count(run, tallies[static_cast<std::size_t>(w)]); });
    }
  });
  return time_workers(threads, watch, tallies, [&] {
    BatchReader reader(stream, setup.batch);
    for (Range batch; !(batch = reader.next()).empty();) queue.push(batch);
    queue.close();
  });
}

namespace {

/// While it lives, new threads get stacks of this size: one that waits in recv(2) needs little, and thousands
/// at the default of 8 MiB would reserve more address space than many machines grant.
class SmallStacks {
 public:
  SmallStacks() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t small;
    pthread_getattr_default_np(&small);
    pthread_attr_setstacksize(&small, kBytes);
    pthread_setattr_default_np(&small);
    pthread_attr_destroy(&small);
  }
  ~SmallStacks() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }
  SmallStacks(SmallStacks const&) = delete;
  SmallStacks& operator=(SmallStacks const&) = delete;

 private:
#ifdef __SANITIZE_THREAD__
  static constexpr std::size_t kBytes =
      8 * 1024 * 1024;  // ThreadSanitizer keeps more than the others' stack in each
#else
  static constexpr std::size_t kBytes = 256 * 1024;
#endif
  pthread_attr_t before_;
};

}  // namespace

Counts thread_pool_lookup(LookupStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.in_flight);
  EventCursor cursor(stream.events());
  SmallStacks const small_stacks;
  WorkerThreads threads(setup.in_flight, [&](int t, WorkerThreads::Self& self) {
    BlockingConnection connection(stream.service());
    if (!self.stand_ready()) return;
    bool const ok = self.failure().guard([&] {
      while (auto const event = cursor.take())
        connection.look_up(stream, *event, tallies[static_cast<std::size_t>(t)]);
    });
    if (!ok) cursor.stop();
    self.finish();
  });
  threads.wait_ready();
  // Workers are the CPUs that the threads share, not the threads: those are the events in flight.
  for (int w = 0; w < setup.workers; ++w) watch.worker_ready();
  return time_workers(threads, watch, tallies);
}

namespace {

/// The threads of the connections that there are: each serves one.
class ConnectionThreads {
 public:
  ConnectionThreads(IngestStream const& stream, Setup const& setup) : stream_(stream), setup_(setup) {}
  ~ConnectionThreads() { end_all(); }
  ConnectionThreads(ConnectionThreads const&) = delete;
  ConnectionThreads& operator=(ConnectionThreads const&) = delete;

  /// Serves the connection on a thread of its own, and joins those that have ended. Gives the connection back
  /// if there can be no more threads.
  OwnedFd begin(OwnedFd socket) {
    std::list<Connection> place(1);
    auto const connection = place.begin();
    {
      std::scoped_lock const lock(mutex_);
      ended_.clear();  // joins; each is about to return
      connections_.splice(connections_.begin(), place);
    }
    connection->client.socket = std::move(socket);
    try {
      connection->thread = std::jthread([this, connection] { serve(connection); });
      return OwnedFd();
    } catch (std::system_error const&) {
      OwnedFd back = std::move(connection->client.socket);
      std::scoped_lock const lock(mutex_);
      connections_.erase(connection);
      return back;
    }
  }

  /// Lets each count what is there, and joins it.
  void end_all() {
    ending_.store(true, std::memory_order_seq_cst);
    {
      // Wakes those that wait in recv(2): to these it looks like the end.
      std::scoped_lock const lock(mutex_);
      for (Connection const& c : connections_) ::shutdown(c.client.socket.get(), SHUT_RD);
    }
    for (;;) {
      std::jthread last;
      {
        std::scoped_lock const lock(mutex_);
        ended_.clear();
        if (connections_.empty()) return;
        last = std::move(connections_.front().thread);
      }
    }
  }
  void rethrow() const { failure_.rethrow(); }

 private:
  struct Connection {
    ServedConnection client;
    std::jthread thread;  // last: joined before the rest goes
  };

  /// The tally of the CPU that this thread runs on: one for each CPU, not for each thread, since thousands of
  /// tables would fit into no cache; and not for some of the threads each, since these would then wait for
  /// each other while a CPU is idle.
  int tally_here() const noexcept {
    int const cpu = ::sched_getcpu();
    for (std::size_t w = 0; w < setup_.cpus.size() && w < static_cast<std::size_t>(stream_.workers()); ++w)
      if (setup_.cpus[w] == cpu) return static_cast<int>(w);
    return std::max(0, cpu) % stream_.workers();
  }

  void serve(std::list<Connection>::iterator connection) {
    bool const ok = failure_.guard([&] {
      auto const buffer = std::make_unique_for_overwrite<ReadBuffer>();
      ServedConnection& client = connection->client;
      client.lookups = lookups_of(stream_, tally_here(), false);
      bool more = true;
      while (more && !ending_.load(std::memory_order_seq_cst))
        more = receive_blocking(client, stream_, tally_here(), *buffer);
      if (more) receive_last(client, stream_, tally_here(), *buffer);
    });
    if (!ok) stream_.stop();
    std::scoped_lock const lock(mutex_);
    connection->client.socket.reset();
    ended_.splice(ended_.end(), connections_, connection);
  }

  IngestStream const& stream_;
  Setup const& setup_;
  FirstFailure failure_;
  std::atomic<bool> ending_{false};
  std::mutex mutex_;
  std::list<Connection> connections_;  // whose threads serve
  std::list<Connection> ended_;        // whose threads return
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
    for (int i = 0; i < most && (socket = acceptor.accept(false)).get() >= 0; ++i) {
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
