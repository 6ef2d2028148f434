#include "bench/against.hpp"

#include <algorithm>

namespace tally {
namespace {

/// The arguments of `tally run` without --against and its value.
std::vector<std::string> without_against(std::vector<std::string> const& arguments) {
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--against")
      ++i;
    else if (!arguments[i].starts_with("--against="))
      rest.push_back(arguments[i]);
  }
  return rest;
}

/// As both builds know the cell.
std::string common_name(Cell cell) {
  cell.against = false;
  return cell.name();
}

}  // namespace

Against::Against(RunOptions const& options, StopSignals const& stop)
    : path_(options.against), arguments_(without_against(options.command_line)) {
  try {
    there_ = std::make_unique<SamplerProcess>(path_, arguments_, stop);
  } catch (SamplerFailed const& e) {
    throw UsageError(std::string("--against ") + e.what() + " (write the path of a tally that has --against)");
  }
  here_ = std::make_unique<SamplerProcess>("/proc/self/exe", arguments_, stop);
}

Plan Against::pair_up(Plan own) {
  auto const& others = there_->cells();
  for (Cell const& cell : own.cells)
    if (std::find(others.begin(), others.end(), cell.name()) == others.end())
      notes_.push_back(path_.string() + " has no cell " + cell.name() + ": it is measured in this build alone");
  Plan both = with_other_build(std::move(own), others);
  if (both.pairs.empty()) throw UsageError("--against " + path_.string() + ": it has none of the cells of this campaign");
  return both;
}

void Against::prepare(double links_per_ns, std::vector<CellResult> const& cells) {
  std::map<std::string, std::uint64_t> all, paired;
  for (CellResult const& result : cells) (result.cell.against ? paired : all)[common_name(result.cell)] = result.cell.events;
  auto const here = here_->prepare(links_per_ns, all);
  auto const there = there_->prepare(links_per_ns, paired);
  for (auto const& [name, digest] : there)
    if (here.at(name) != digest) not_alike_[name] = "the two builds count different events: their references differ";
}

CellSample Against::sample(Cell const& cell) {
  std::string const name = common_name(cell);
  if (auto const found = not_alike_.find(name); found != not_alike_.end()) {
    CellSample failed;
    failed.sample.failure = found->second;
    return failed;
  }
  return (cell.against ? there_ : here_)->sample(name);
}

std::string Against::describe_other() const {
  nlohmann::ordered_json other{{"path", path_.string()}};
  for (char const* key : {"tally_version", "tally_commit", "tally_tree", "binary_sha256", "build"})
    if (there_->manifest().contains(key)) other[key] = there_->manifest().at(key);
  return other.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tally
