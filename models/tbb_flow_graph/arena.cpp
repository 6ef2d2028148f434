#include "models/tbb_flow_graph/arena.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "models/runtime/placement.hpp"

namespace tally {

Placing::Placing(tbb::task_arena& arena, Setup const& setup, FirstFailure& failure)
    : tbb::task_scheduler_observer(arena), setup_(setup), failure_(failure) {
  observe(true);
}

void Placing::on_scheduler_entry(bool) {
  failure_.guard([this] { place_worker(setup_, tbb::this_task_arena::current_thread_index()); });
}

int stand_ready(tbb::task_arena& arena, int threads) {
  struct Waiting {
    std::atomic<int> here{0}, gone{0};
  };
  auto const waiting = std::make_shared<Waiting>();  // a thread may come after all
  auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  auto const all_here = [=] {
    return waiting->here.load() >= threads || std::chrono::steady_clock::now() >= deadline;
  };
  for (int t = 0; t < threads; ++t) {
    arena.enqueue([=] {
      waiting->here.fetch_add(1);
      while (!all_here()) std::this_thread::sleep_for(std::chrono::microseconds(10));
      waiting->gone.fetch_add(1);
    });
  }
  while (!all_here() || waiting->gone.load() < waiting->here.load())
    std::this_thread::sleep_for(std::chrono::microseconds(10));
  return std::min(waiting->here.load(), threads);
}

}  // namespace tally
