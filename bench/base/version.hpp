// The suite's version, as CMake has it.
#pragma once

#include <string_view>

namespace tally {

inline constexpr std::string_view kVersion = TALLY_VERSION;
/// Of the result file. 2: `batch` is the number of events of one task; before, models merged batches.
inline constexpr int kJsonSchemaVersion = 2;

}  // namespace tally
