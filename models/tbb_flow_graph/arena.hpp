// An arena of oneTBB as the flow graph's models use it: its threads placed on CPUs, and there before they are
// needed.
#pragma once

#include <tbb/task_arena.h>
#include <tbb/task_scheduler_observer.h>

#include "models/model.hpp"
#include "models/runtime/failure.hpp"

namespace tally {

/// Places each thread that enters the arena by its slot. What goes wrong is kept: oneTBB lets no exception
/// through from here.
class Placing final : public tbb::task_scheduler_observer {
 public:
  Placing(tbb::task_arena& arena, Setup const& setup, FirstFailure& failure);
  ~Placing() override { observe(false); }
  void on_scheduler_entry(bool) override;

 private:
  Setup const& setup_;
  FirstFailure& failure_;
};

/// Holds `threads` threads of the arena at once, so that all stand ready: oneTBB starts its threads when work
/// first comes. It promises no number of them, so a thread that does not come is waited for ten seconds, no
/// longer. Returns how many came.
int stand_ready(tbb::task_arena& arena, int threads);

}  // namespace tally
