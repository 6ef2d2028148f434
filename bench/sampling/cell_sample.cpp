#include "bench/sampling/cell_sample.hpp"

#include "workloads/base/memory.hpp"

namespace tally {

std::shared_ptr<LatencyHistogram> make_latencies() {
  // Zeroed pages are an empty histogram.
  auto const pages = std::make_shared<SharedPages>(sizeof(LatencyHistogram));
  pages->share_with_children(false);
  return {pages, static_cast<LatencyHistogram*>(pages->data())};
}

}  // namespace tally
