// Where a worker runs.
#pragma once

#include <sched.h>

#include "models/model.hpp"

namespace tally {

/// Pins the calling thread to the CPU of `worker`; does nothing if the setup names no CPUs. Left to the
/// kernel, short samples are often badly placed. Throws std::system_error if the CPU is not to be had.
void place_worker(Setup const& setup, int worker);

/// The CPUs on which the calling thread may run when this is made.
class CpusOfThisThread {
 public:
  CpusOfThisThread() noexcept;
  /// Lets the calling thread, this one or another, run on them again.
  void restore() const noexcept;

 private:
  cpu_set_t set_;
};

}  // namespace tally
