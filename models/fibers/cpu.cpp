// fibers on `cpu`: a Boost.Fiber fiber for each batch, made by the worker that reads, and first run by that
// one or by another that steals it.
#include <array>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/policy.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "models/fibers/stacks.hpp"
#include "models/fibers/stealing_scheduler.hpp"
#include "models/model.hpp"
#include "models/runtime/event_count.hpp"
#include "models/runtime/failure.hpp"
#include "models/runtime/placement.hpp"
#include "models/runtime/reading_role.hpp"
#include "models/runtime/spin.hpp"
#include "models/runtime/worker_threads.hpp"

namespace tally {
namespace {

/// What the fibers on a worker's thread use. Asked for anew in each fiber: it may run on another thread than
/// the one that made it.
struct FiberWorker {
  Counts& tally;
  FirstFailure& failure;
  static inline thread_local FiberWorker* current = nullptr;
};

/// A worker's main fiber, which goes on where no other of its thread is ready, reads some batches and makes
/// fibers of them; while another worker reads, and at the end, it has fibers stolen.
class FiberTasks {
 public:
  FiberTasks(CpuStream const& stream, Setup const& setup)
      : stream_(stream), reading_(stream, setup.batch, setup.workers), ready_(setup.workers) {}

  ReadyFibers& ready() noexcept { return ready_; }
  PooledStacks& stacks() noexcept { return stacks_; }

  /// What a worker's thread, which has this scheduler, does until every fiber was taken. Returns how many it
  /// made.
  std::uint64_t work(StealingScheduler& scheduler) {
    std::uint64_t made = 0;
    for (;;) {
      // Only where no other fiber is ready does this one go on.
      boost::this_fiber::yield();
      std::uint64_t const more = make_some();
      made += more;
      if (more > 0 || scheduler.steal()) continue;
      if (reading_.ended() && ready_.empty()) break;
      if (spin_until([&] { return has_work(); })) continue;
      std::uint32_t const seen = sleepers_.prepare();
      if (!has_work()) sleepers_.sleep(seen);
    }
    sleepers_.notify_all();
    return made;
  }

  /// For --batch auto: a fiber for each worker, which takes what is to be counted itself.
  void work_through() {
    // Dispatched: at once, on this thread. Others might run on one of them, one after the other.
    make(boost::fibers::launch::dispatch, [this] {
      for (Range batch; !FiberWorker::current->failure.failed() && !(batch = reading_.take()).empty();)
        count(batch);
    }).join();
  }

 private:
  template <class Body>
  boost::fibers::fiber make(boost::fibers::launch policy, Body&& body) {
    return boost::fibers::fiber(policy, std::allocator_arg, PooledStacks::Allocator(stacks_),
                                std::forward<Body>(body));
  }
  void count(Range batch) noexcept {
    FiberWorker::current->failure.guard([&] { stream_.count(batch, FiberWorker::current->tally); });
  }
  bool has_work() const noexcept { return !ready_.empty() || reading_.ended() || !reading_.taken(); }

  std::uint64_t make_some() {
    std::array<Range, kFiberTuning.read_at_once> batches;
    std::size_t const n = reading_.try_take(batches);
    for (std::size_t i = 0; i < n; ++i)
      make(boost::fibers::launch::post, [this, batch = batches[i]] { count(batch); }).detach();
    if (n > 0) sleepers_.notify_one();
    return n;
  }

  CpuStream const& stream_;
  ReadingRole reading_;
  ReadyFibers ready_;
  PooledStacks stacks_;
  EventCount sleepers_;
};

}  // namespace

Counts fibers_cpu(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  std::vector<Counts> tallies = empty_tallies(stream, setup.workers);
  auto const tasks = std::make_unique<FiberTasks>(stream, setup);
  WorkerThreads threads(setup.workers, [&](int w, WorkerThreads::Self& self) {
    FiberWorker worker{tallies[static_cast<std::size_t>(w)], self.failure()};
    PooledStacks::Cache stacks(tasks->stacks().depot());
    FiberWorker::current = &worker;
    PooledStacks::cache = &stacks;
    boost::intrusive_ptr<StealingScheduler> const scheduler(new StealingScheduler(tasks->ready(), w));
    boost::fibers::context::active()->get_scheduler()->set_algo(scheduler);
    place_worker(setup, w);
    watch.worker_ready();
    if (self.stand_ready()) {
      if (setup.batch == kAutoBatch) {
        watch.add_scheduled(1);
        tasks->work_through();
      } else {
        watch.add_scheduled(tasks->work(*scheduler));
      }
      self.finish();
    }
    boost::this_fiber::yield();  // to the dispatcher, which gives back the stacks of those that have ended
    PooledStacks::cache = nullptr;
  });
  return time_workers(threads, watch, tallies);
}

}  // namespace tally
