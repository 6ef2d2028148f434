#include "models/runtime/placement.hpp"

#include <sched.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace tally {

void place_worker(Setup const& setup, int worker) {
  if (setup.cpus.empty()) return;
  int const cpu = setup.cpus[static_cast<std::size_t>(worker) % setup.cpus.size()];
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot run on CPU " + std::to_string(cpu));
  }
}

CpusOfThisThread::CpusOfThisThread() noexcept {
  if (sched_getaffinity(0, sizeof set_, &set_) != 0) CPU_ZERO(&set_);
}

void CpusOfThisThread::restore() const noexcept {
  if (CPU_COUNT(&set_) > 0) sched_setaffinity(0, sizeof set_, &set_);
}

}  // namespace tally
