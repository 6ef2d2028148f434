// event_loop on `cpu`: a callback for each batch, posted round robin to the workers' loops, by a callback
// that reads. Loops steal nothing from each other.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "models/model.hpp"
#include "models/runtime/bounded_queue.hpp"
#include "models/runtime/event_count.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/spin.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// What a loop calls once.
struct Callback {
  void (*call)(void* context, Range batch) = nullptr;
  void* context = nullptr;
  Range batch{};
};

/// A loop on one thread. Others post to its inbox, its own callbacks to its own queue, and it calls what
/// stood in them at the beginning of a turn, so that a callback that posts another lets all others go first.
class CallbackLoop {
 public:
  /// Callbacks that wait in the inbox at most. Nobody else takes them: at the end of a stream, and while a
  /// callback stalls the loop, they wait.
  static constexpr std::size_t kInbox = 64;

  /// Any thread. Posts the first of `callbacks`, as many as there is room for, and returns how many. The loop
  /// may not know of them until wake().
  std::size_t post(std::span<Callback> callbacks) noexcept { return inbox_.try_push(callbacks); }
  void wake() noexcept { sleeper_.notify_one(); }
  /// The loop's own thread.
  void post_own(Callback callback) { next_.push_back(callback); }
  std::size_t own() const noexcept { return next_.size(); }

  /// Returns after stop(), when all that was posted before it was called.
  void run() {
    std::array<Callback, kInboxAtOnce> posted;
    for (;;) {
      bool const stopped = stopped_.load(std::memory_order_acquire);
      std::size_t const n = inbox_.try_pop(posted);
      for (std::size_t i = 0; i < n; ++i) posted[i].call(posted[i].context, posted[i].batch);
      now_.swap(next_);
      for (Callback const& callback : now_) callback.call(callback.context, callback.batch);
      bool const any = n > 0 || !now_.empty();
      now_.clear();
      if (any) continue;
      if (stopped) return;
      if (spin_until([&] { return has_work(); })) continue;
      std::uint32_t const seen = sleeper_.prepare();
      if (!has_work()) sleeper_.sleep(seen);
    }
  }
  /// Any thread.
  void stop() noexcept {
    stopped_.store(true, std::memory_order_seq_cst);
    wake();
  }

 private:
  static constexpr std::size_t kInboxAtOnce = 16;
  bool has_work() const noexcept { return !inbox_.empty() || stopped_.load(std::memory_order_seq_cst); }

  BoundedQueue<Callback, kInbox> inbox_;
  EventCount sleeper_;
  std::atomic<bool> stopped_{false};
  alignas(64) std::vector<Callback> now_, next_;
};

/// The loops, what counts on them, and what reads on the first.
class LoopTasks {
 public:
  /// What is given must outlive this.
  LoopTasks(CpuStream const& stream, Setup const& setup, std::vector<Counts>& tallies)
      : reader_(stream, setup.batch, setup.workers) {
    for (Counts& tally : tallies) workers_.emplace_back(stream, tally);
    if (setup.batch == kAutoBatch) parts_ = stream.split(workers_.size());
    batch_ = next();
  }

  /// What worker `w` does. Only the first posts.
  void run(int w, FirstFailure& failure) {
    Worker& self = workers_[static_cast<std::size_t>(w)];
    self.failure = &failure;
    if (w == 0) self.loop.post_own({read_some, this});
    try {
      self.loop.run();
    } catch (...) {
      for (Worker& worker : workers_) worker.loop.stop();  // or the others would wait for this one
      throw;
    }
  }
  std::uint64_t posted() const noexcept { return posted_; }

 private:
  /// Of its own loop, the reader has so many called before it reads again.
  static constexpr std::size_t kOwnAtOnce = 32;
  /// Callbacks that are posted to a loop at once.
  static constexpr std::size_t kPostedAtOnce = 16;

  struct Worker {
    Worker(CpuStream const& s, Counts& t) : stream(s), tally(t) {}
    CpuStream const& stream;
    Counts& tally;
    FirstFailure* failure = nullptr;
    CallbackLoop loop;
    /// What the reader has for the loop and has not posted yet: one by one, the two would write to the same
    /// cache lines for every callback.
    std::array<Callback, kPostedAtOnce> outbox{};
    std::size_t waiting = 0;

    /// Whether all of it was posted.
    bool post() noexcept {
      std::size_t const posted = loop.post(std::span(outbox).first(waiting));
      std::move(outbox.begin() + static_cast<std::ptrdiff_t>(posted),
                outbox.begin() + static_cast<std::ptrdiff_t>(waiting), outbox.begin());
      waiting -= posted;
      return waiting == 0;
    }
  };

  static void count(void* context, Range batch) {
    auto& worker = *static_cast<Worker*>(context);
    // What it throws is kept: the loop goes on.
    worker.failure->guard([&] { worker.stream.count(batch, worker.tally); });
  }

  /// The next to post; with --batch auto, a part for each loop. Empty at the end.
  Range next() {
    if (parts_.empty()) return reader_.next();
    while (part_ < parts_.size() && parts_[part_].empty()) ++part_;
    return part_ < parts_.size() ? parts_[part_++] : Range{};
  }

  /// Posts batches until every inbox is full, or the stream ends.
  static void read_some(void* context, Range) {
    auto& self = *static_cast<LoopTasks*>(context);
    while (!self.batch_.empty() && self.post(self.batch_)) {
      ++self.posted_;
      self.batch_ = self.next();
    }
    bool ended = self.batch_.empty();
    for (Worker& worker : self.workers_) ended = worker.post() && ended;
    for (Worker& worker : self.workers_) ended ? worker.loop.stop() : worker.loop.wake();
    if (!ended) self.workers_.front().loop.post_own({read_some, &self});
  }

  /// To the next loop in turn that has room; false if none has.
  bool post(Range batch) {
    for (std::size_t tries = workers_.size(); tries > 0; --tries) {
      std::size_t const w = turn_;
      if (++turn_ == workers_.size()) turn_ = 0;
      Callback const callback{count, &workers_[w], batch};
      if (w != 0) {
        Worker& worker = workers_[w];
        if (worker.waiting == kPostedAtOnce && !worker.post() && worker.waiting == kPostedAtOnce) continue;
        worker.outbox[worker.waiting++] = callback;
        return true;
      } else if (workers_[0].loop.own() < kOwnAtOnce) {
        workers_[0].loop.post_own(callback);
        return true;
      }
    }
    return false;
  }

  BatchReader reader_;
  std::vector<Range> parts_;
  std::size_t part_ = 0;
  Range batch_{};  // read, and not posted
  std::uint64_t posted_ = 0;
  std::size_t turn_ = 0;
  std::deque<Worker> workers_;
};

}  // namespace

Counts event_loop_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  LoopTasks tasks(stream, setup, tallies);
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    place_worker(setup, w);
    watch.worker_ready();
    if (self.stand_ready()) tasks.run(w, self.failure());
  });
  Counts counts = time_workers(threads, watch, tallies);
  watch.add_scheduled(tasks.posted());
  return counts;
}

}  // namespace tally
