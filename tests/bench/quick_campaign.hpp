// Campaigns that tests run to see what they do, not how fast anything is.
#pragma once

#include "bench/plan/run_options.hpp"

namespace tally {

/// `options`, but that what a campaign measures beside its cells takes microseconds.
inline RunOptions quick(RunOptions options) {
  options.reference = {.links = 10'000, .read_bytes = std::size_t{64} << 10};
  return options;
}

}  // namespace tally
