// Where a worker runs.
#pragma once

#include "models/model.hpp"

namespace tally {

/// Pins the calling thread to the CPU of `worker`; does nothing if the setup names no CPUs. Left to the
/// kernel, short samples are often badly placed. Throws std::system_error if the CPU is not to be had.
void place_worker(Setup const& setup, int worker);

}  // namespace tally
