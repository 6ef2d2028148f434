// `tally` with models that count one event wrong, each in its own way, beside one that counts right: what
// scripts/campaigns/self_check.py measures whether it is caught.
#include <array>

#include "bench/commands/tally_main.hpp"
#include "tests/broken/broken_models.hpp"

int main(int argc, char** argv) {
  using namespace tally;
  static constexpr std::array<Model, 8> kModels{{
      {.name = "right", .summary = "counts right", .cpu = broken::right},
      {.name = "lost", .summary = "loses an event", .cpu = broken::loses_an_event},
      {.name = "doubled", .summary = "counts an event twice", .cpu = broken::doubles_an_event},
      {.name = "swapped", .summary = "loses an event and doubles another", .cpu = broken::swaps_an_event},
      {.name = "misfiled", .summary = "counts an event for another key", .cpu = broken::misfiles_by_key},
      {.name = "late", .summary = "counts an event in a later window", .cpu = broken::misfiles_by_window},
      {.name = "torn", .summary = "writes half of a count", .cpu = broken::tears_a_count},
      {.name = "stale",
       .summary = "an event comes after the result",
       .cpu = broken::counts_an_event_too_late},
  }};
  return tally_main(argc, argv, kModels);
}
