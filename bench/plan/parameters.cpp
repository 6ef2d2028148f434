#include "bench/plan/parameters.hpp"

#include "models/model.hpp"

namespace tally {

std::string_view name_of(StreamKind stream) {
  switch (stream) {
    case StreamKind::cpu:
      return "cpu";
    case StreamKind::lookup:
      return "lookup";
    case StreamKind::ingest:
      return "ingest";
  }
  return "unknown";
}

std::string spell_batch(std::uint64_t batch) {
  return batch == kAutoBatch ? std::string(kAutoBatchWord) : std::to_string(batch);
}

}  // namespace tally
