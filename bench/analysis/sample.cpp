#include "bench/analysis/sample.hpp"

namespace tally {

LatencyFigures figures_of(LatencyHistogram const& latencies) {
  auto const at = [&](double percent) {
    return std::chrono::duration<double>(latencies.at_percentile(percent)).count();
  };
  return {at(50), at(90), at(99), at(99.9), std::chrono::duration<double>(latencies.greatest()).count()};
}

}  // namespace tally
