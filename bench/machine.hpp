// What the kernel says of this machine.
#pragma once

#include <nlohmann/json.hpp>

namespace tally {

/// CPU, memory, kernel, virtualisation, governor and limits, as keys of a result file's context. What cannot
/// be known is "unknown".
nlohmann::ordered_json describe_machine();

}  // namespace tally
