// Counts as JSON.
#pragma once

#include "bench/base/json.hpp"
#include "workloads/counting/counts.hpp"

namespace tally {

/// `{"key": …, "count": …}`. JSON holds Unicode alone: a key that is not UTF-8 has its bytes in hexadecimal
/// beside it.
Json key_as_json(Counts::KeyCount const& entry);

}  // namespace tally
