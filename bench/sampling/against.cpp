#include "bench/sampling/against.hpp"

#include <algorithm>
#include <cstdlib>

#include "bench/analysis/campaign_result.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/cell_sample.hpp"

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

/// What a result file says of the other build, beside how it was built.
constexpr char const* kTold[] = {"tally_version", "tally_commit", "tally_tree", "binary_sha256"};

/// Throws SamplerFailed if something is missing of it.
void check_manifest(Json const& manifest) {
  for (char const* const key : kTold)
    if (!manifest.contains(key) || !manifest.at(key).is_string())
      throw SamplerFailed(std::string("its manifest has no ") + key);
  if (!manifest.contains("build") || !manifest.at("build").is_object())
    throw SamplerFailed("its manifest has no build");
}

/// As both builds know the cell.
std::string common_name(Cell cell) {
  cell.against = false;
  return cell.name();
}

}  // namespace

Against::Against(RunOptions const& options, StopSignals const& stop)
    : path_(options.against), arguments_(without_against(options.command_line)) {
  // Command lines are everybody's to read.
  if (options.service && !options.service->password.empty())
    ::setenv(kRedisPasswordVariable, options.service->password.c_str(), 1);
  try {
    there_ = std::make_unique<SamplerProcess>(path_, arguments_, options.sample_timeout, stop);
    check_manifest(there_->manifest());
  } catch (SamplerFailed const& e) {
    throw UsageError(std::string("--against ") + e.what() +
                     " (write the path of a tally that has --against)");
  }
  here_ = std::make_unique<SamplerProcess>("/proc/self/exe", arguments_, options.sample_timeout, stop);
}

Plan Against::pair_up(Plan own) {
  auto const& others = there_->cells();
  for (Cell const& cell : own.cells)
    if (std::find(others.begin(), others.end(), cell.name()) == others.end())
      notes_.push_back(path_.string() + " has no cell " + cell.name() +
                       ": it is measured in this build alone");
  Plan both = with_other_build(std::move(own), others);
  if (both.pairs.empty())
    throw UsageError("--against " + path_.string() + ": it has none of the cells of this campaign");
  return both;
}

void Against::prepare(double links_per_ns, std::vector<CellResult> const& cells) {
  std::map<std::string, std::uint64_t> all, paired;
  for (CellResult const& result : cells)
    (result.cell.against ? paired : all)[common_name(result.cell)] = result.cell.events;
  auto const here = here_->prepare(links_per_ns, all);
  auto const there = there_->prepare(links_per_ns, paired);
  for (auto const& [name, events] : paired) {
    auto const one = here.find(name), other = there.find(name);
    if (one == here.end() || other == there.end() || one->second != other->second)
      not_alike_[name] = "the two builds count different events: their references differ";
  }
}

std::vector<std::string> Against::notes() const {
  auto all = notes_;
  for (auto const* const sampler : {here_.get(), there_.get()})
    all.insert(all.end(), sampler->notes().begin(), sampler->notes().end());
  return all;
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
  Json other{{"path", path_.string()}};
  for (char const* const key : kTold) other[key] = there_->manifest().at(key);
  other["build"] = there_->manifest().at("build");
  return other.dump();
}

}  // namespace tally
