#include "bench/tally_main.hpp"

namespace tally {
int tally_main(int, char**, std::span<Model const>) { return 2; }
}  // namespace tally
