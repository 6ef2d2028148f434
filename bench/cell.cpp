#include "bench/cell.hpp"

namespace tally {
namespace {

/// The parameters' part of a name. What does not apply to the stream is left out; so is a lookup's grain of
/// 0.
template <class Parameters>
std::string spell(Parameters const& p) {
  std::string name = "/workers:" + std::to_string(p.workers);
  auto const grain = [&] { return "/grain_ns:" + std::to_string(p.grain.count()); };
  if (p.stream == StreamKind::cpu) return name + grain() + "/batch:" + std::to_string(p.batch);
  name += p.wait.count() % 1000 == 0 ? "/wait_us:" + std::to_string(p.wait.count() / 1000)
                                     : "/wait_ns:" + std::to_string(p.wait.count());
  name += "/in_flight:" + std::to_string(p.in_flight);
  if (p.grain.count() != 0) name += grain();
  return name;
}

}  // namespace

std::string_view name_of(StreamKind stream) { return stream == StreamKind::cpu ? "cpu" : "lookup"; }

std::string Cell::name() const {
  return std::string(name_of(stream)) + "/" + std::string(model->name) + spell(*this) +
         (against ? "/against:1" : "");
}

std::string Group::name() const {
  return std::string(name_of(stream)) + spell(*this) + (against ? "/against:1" : "");
}

Pair const* Plan::pair_of(std::size_t cell) const {
  for (Pair const& pair : pairs)
    if (pair.here == cell || pair.there == cell) return &pair;
  return nullptr;
}

}  // namespace tally
