#include "bench/plan/cell.hpp"

#include <charconv>

namespace tally {
namespace {

/// `max`, or as many digits as tell it from any other.
std::string spell_rate(double rate_per_s) {
  if (rate_per_s == 0) return "max";
  char text[32];
  auto const end = std::to_chars(text, text + sizeof text, rate_per_s, std::chars_format::fixed).ptr;
  return {text, end};
}

/// The parameters' part of a name. What does not apply to the stream is left out; so is a grain of 0, but on
/// cpu.
template <class Parameters>
std::string spell_all_but_io(Parameters const& p) {
  std::string name = "/workers:" + std::to_string(p.workers);
  auto const grain = [&] { return "/grain_ns:" + std::to_string(p.grain.count()); };
  auto const wait = [&] {
    return p.wait.count() % 1000 == 0 ? "/wait_us:" + std::to_string(p.wait.count() / 1000)
                                      : "/wait_ns:" + std::to_string(p.wait.count());
  };
  if (p.stream == StreamKind::cpu) return name + grain() + "/batch:" + spell_batch(p.batch);
  if (p.stream == StreamKind::ingest) {
    name += "/connections:" + std::to_string(p.connections) + "/rate:" + spell_rate(p.rate_per_s);
    if (p.lookup) name += wait();
    return p.grain.count() != 0 ? name + grain() : name;
  }
  name += wait() + "/in_flight:" + std::to_string(p.in_flight);
  if (p.grain.count() != 0) name += grain();
  return name;
}

template <class Parameters>
std::string spell(Parameters const& p) {
  std::string name = spell_all_but_io(p) + (p.io == Io::io_uring ? "/io_uring:1" : "");
  if (p.ranks > 0) name += "/ranks:" + std::to_string(p.ranks) + "/hosts:" + std::to_string(p.hosts);
  return name;
}

}  // namespace

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

bool runs(Model const& model, StreamKind stream) noexcept {
  switch (stream) {
    case StreamKind::cpu:
      return model.cpu != nullptr;
    case StreamKind::lookup:
      return model.lookup != nullptr;
    case StreamKind::ingest:
      return model.ingest != nullptr;
  }
  return false;
}

std::string Cell::name() const {
  return std::string(name_of(stream)) + "/" + std::string(model->name) + spell(*this) +
         (against ? "/against:1" : "");
}

std::string Group::name() const {
  return std::string(name_of(stream)) + spell(*this) + (against ? "/against:1" : "");
}

bool bounded_by_limit(Group const& group, Cell const& cell) noexcept {
  if (!cell.model->sequential) return true;
  return group.workers == 1 && group.io == cell.io &&
         (group.stream != StreamKind::lookup || group.in_flight == 1);
}

}  // namespace tally
