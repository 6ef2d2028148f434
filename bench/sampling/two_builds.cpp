#include "bench/sampling/two_builds.hpp"

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

/// The other build's process. Throws UsageError where it is none.
std::unique_ptr<SamplerProcess> start_other(RunOptions const& options,
                                            std::vector<std::string> const& arguments,
                                            StopSignals const& stop, Progress& progress) {
  progress.say("starting " + options.against.string());
  // Command lines are everybody's to read.
  if (options.service && !options.service->password.empty())
    ::setenv(kRedisPasswordVariable, options.service->password.c_str(), 1);
  try {
    auto other = std::make_unique<SamplerProcess>(options.against, arguments, options.sample_timeout, stop);
    check_manifest(other->manifest());
    return other;
  } catch (SamplerFailed const& e) {
    throw UsageError(std::string("--against ") + e.what() +
                     " (write the path of a tally that has --against)");
  }
}

}  // namespace

TwoBuilds::TwoBuilds(RunOptions const& options, Plan const& plan, StopSignals const& stop, Progress& progress)
    : options_(options),
      progress_(progress),
      arguments_(without_against(options.command_line)),
      there_(start_other(options, arguments_, stop, progress)),
      here_(std::make_unique<SamplerProcess>("/proc/self/exe", arguments_, options.sample_timeout, stop)),
      local_(options, plan, stop, progress) {}

Plan TwoBuilds::complete(Plan own) {
  std::string const path = options_.against.string();
  auto const& others = there_->cells();
  for (Cell const& cell : own.cells)
    if (std::find(others.begin(), others.end(), cell.name()) == others.end())
      notes_.push_back(path + " has no cell " + cell.name() + ": it is measured in this build alone");
  Plan both = with_other_build(std::move(own), others);
  if (both.pairs.empty())
    throw UsageError("--against " + path + ": it has none of the cells of this campaign");
  return both;
}

std::vector<PreparedCell> TwoBuilds::prepare(std::vector<Cell> const& cells) {
  std::vector<PreparedCell> prepared;
  if (local_.input()) {
    prepared = local_.prepare(cells);  // which says how many lines the file has
  } else {
    for (Cell const& cell : cells)
      prepared.push_back(known_waits(cell, options_, local_.runner().waits_are_ours()));
  }
  local_.forget();
  progress_.say("making the streams of both builds");
  std::map<std::string, std::uint64_t> all, paired;
  for (std::size_t i = 0; i < cells.size(); ++i)
    (cells[i].against ? paired : all)[common_name(cells[i])] = prepared[i].events;
  auto const here = here_->prepare(local_.links_per_ns(), all);
  auto const there = there_->prepare(local_.links_per_ns(), paired);
  for (auto const& [name, events] : paired) {
    auto const one = here.find(name), other = there.find(name);
    if (one == here.end() || other == there.end() || one->second != other->second)
      not_alike_[name] = "the two builds count different events: their references differ";
  }
  return prepared;
}

std::vector<std::string> TwoBuilds::notes() const {
  auto all = local_.notes();
  all.insert(all.end(), notes_.begin(), notes_.end());
  for (auto const* const sampler : {here_.get(), there_.get()})
    all.insert(all.end(), sampler->notes().begin(), sampler->notes().end());
  return all;
}

CellSample TwoBuilds::sample(Cell const& cell) {
  // An older build may know of no polling, or of less: this process keeps the CPUs awake for both.
  auto const awake = local_.runner().polling(cell);
  std::string const name = common_name(cell);
  if (auto const found = not_alike_.find(name); found != not_alike_.end()) {
    CellSample failed;
    failed.sample.failure = found->second;
    return failed;
  }
  return (cell.against ? there_ : here_)->sample(name);
}

Json TwoBuilds::describe() const {
  Json other{{"path", options_.against.string()}};
  for (char const* const key : kTold) other[key] = there_->manifest().at(key);
  other["build"] = there_->manifest().at("build");
  return {{"against", std::move(other)}};
}

}  // namespace tally
