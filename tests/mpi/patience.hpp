// How long tests of ranks wait for other ranks.
#pragma once

#include <chrono>

#include "mpi/agreement.hpp"

namespace tally {

inline Patience patience() { return Patience::for_at_most(std::chrono::seconds(30)); }

}  // namespace tally
