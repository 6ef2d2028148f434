#include "bench/advice/merge_model.hpp"

#include <nlopt.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <new>
#include <stdexcept>
#include <utility>

#include "bench/advice/result_file.hpp"
#include "bench/base/json.hpp"
#include "bench/base/statistics.hpp"

namespace tally {
namespace {

/// Open MPI asks first whether there is room for a message that is longer (btl_tcp_eager_limit): it takes
/// three ways in place of one.
constexpr std::size_t kEagerBytes = 65'536;
/// The least share of a sum that is worth a message.
constexpr std::size_t kLeastShareBytes = 4096;
/// Of a text key in a message, its length and its count.
constexpr double kFramingBytes = 2;
/// Keys of which a table and the texts lie in a core's caches.
constexpr double kCachedKeys = 32'768;

double ways_of(double bytes) { return bytes > static_cast<double>(kEagerBytes) ? 3 : 1; }

MergeShape dense_shape(MergePoint const& point) {
  MergeShape shape;
  double const p = point.ranks, keys = static_cast<double>(point.keys), bytes = 8 * keys;
  double const others = (p - 1) / p;
  if (sums_in_shares(8 * point.keys, point.ranks)) {
    // A share for each rank, then all shares to rank 0; of two ranks, all to rank 0.
    bool const two = point.ranks == 2;
    shape.ways = two ? ways_of(bytes) : 2 * ways_of(bytes / p);
    shape.messages = two ? 1 : 3 * (p - 1);
    shape.bytes = two ? bytes : 2 * bytes * others;
    shape.numbers = two ? keys : keys * others;
    return shape;
  }
  if (point.ranks == 2) {
    shape.ways = 1;
    shape.messages = 1;
    shape.bytes = bytes;
    shape.numbers = keys;
    return shape;
  }
  auto const power = static_cast<double>(std::bit_floor(static_cast<unsigned>(point.ranks)));
  if (keys < power) {
    // Open MPI's reduction of fewer numbers than ranks: whole rows up a binomial tree.
    double const levels = std::ceil(std::log2(p));
    shape.ways = levels * ways_of(bytes);
    shape.messages = levels + (p - 1);  // and the figures of every rank
    shape.bytes = levels * bytes;
    shape.numbers = levels * keys;
    return shape;
  }
  // Of more: by halves and back (Rabenseifner), after those beyond a power of two have given theirs to one of
  // the others.
  double const beyond = power == p ? 0 : 1, steps = 2 * std::log2(power) + 2 * beyond;
  shape.ways = beyond * (ways_of(bytes) + 1);
  for (double half = bytes / 2; half > bytes / power / 1.5; half /= 2) shape.ways += 2 * ways_of(half);
  shape.messages = steps + (p - 1);
  shape.bytes = 2 * bytes * (1 - 1 / power) + beyond * bytes;
  shape.numbers = keys * (1 - 1 / power) + beyond * keys / 2;
  return shape;
}

MergeShape text_shape(MergePoint const& point) {
  MergeShape shape;
  double const p = point.ranks, keys = static_cast<double>(point.keys) / (point.disjoint ? p : 1);
  double const others = (p - 1) / p, packed = point.key_bytes + kFramingBytes;
  shape.ways = 1 + ways_of(keys / p * packed) + 1;  // how much there is, the keys, and the sums
  shape.messages = 3 * (p - 1);
  shape.bytes = keys * others * packed;
  shape.keys = keys;
  shape.uncached = keys * std::log2(std::max(1.0, keys / kCachedKeys));
  shape.others_keys = keys * others;
  return shape;
}

/// The costs in an order of their own, for what does not care which is which.
constexpr std::array kCosts = {
    &MergeCosts::fixed_s,     &MergeCosts::message_s,    &MergeCosts::byte_s,
    &MergeCosts::local_way_s, &MergeCosts::local_byte_s, &MergeCosts::number_s,
    &MergeCosts::key_s,       &MergeCosts::uncached_s,   &MergeCosts::others_key_s};
using Amounts = std::array<double, kCosts.size()>;

/// How much there is of each cost in a merge, and the time that is known.
struct Demand {
  Amounts amounts{};
  double known_s = 0;
};
Demand demand_of(MergePoint const& point) {
  if (point.ranks < 2) return {};
  MergeShape const shape = shape_of(point);
  double const here = point.remote ? 0 : 1, there = 1 - here, sharing = std::max(1.0, point.ranks_per_cpu);
  // What takes a rank's CPU takes as many times as long as ranks share it.
  Demand demand{{1, there * shape.messages, there * shape.bytes, here * shape.ways, here * shape.bytes,
                 shape.numbers, shape.keys, shape.uncached, shape.others_keys},
                there * shape.ways * point.way_s};
  for (std::size_t i = 0; i < kCosts.size(); ++i)
    if (kCosts[i] != &MergeCosts::byte_s) demand.amounts[i] *= sharing;
  return demand;
}

double seconds_of(Demand const& demand, MergeCosts const& costs) {
  double sum_s = demand.known_s;
  for (std::size_t i = 0; i < kCosts.size(); ++i) sum_s += demand.amounts[i] * (costs.*kCosts[i]);
  return sum_s;
}

struct MergeProblem {
  std::vector<Demand> demands;
  std::vector<double> measured_s;

  MergeCosts costs(double const* logs) const {
    MergeCosts costs;
    for (std::size_t i = 0; i < kCosts.size(); ++i) costs.*kCosts[i] = std::exp(logs[i]);
    return costs;
  }
  double loss(double const* logs) const {
    MergeCosts const tried = costs(logs);
    double sum = 0;
    for (std::size_t i = 0; i < demands.size(); ++i) {
      double const off = std::log(seconds_of(demands[i], tried) / measured_s[i]);
      sum += off * off;
    }
    return sum / static_cast<double>(demands.size());
  }
};

double loss_of_merge_costs(unsigned, double const* logs, double*, void* problem) {
  return static_cast<MergeProblem const*>(problem)->loss(logs);
}

/// By Subplex (Rowan 1990), from `start` on.
MergeCosts fit(std::vector<MeasuredMerge> const& merges, MergeCosts const& start) {
  MergeProblem problem;
  for (MeasuredMerge const& merge : merges) {
    problem.demands.push_back(demand_of(merge.point));
    problem.measured_s.push_back(merge.median_s);
  }
  constexpr double kLeast_s = 1e-13, kMost_s = 1e-1;
  std::array<double, kCosts.size()> logs{}, least{}, most{}, step{};
  for (std::size_t i = 0; i < kCosts.size(); ++i) {
    logs[i] = std::log(std::max(kLeast_s, start.*kCosts[i]));
    least[i] = std::log(kLeast_s / 2);
    most[i] = std::log(kMost_s);
    step[i] = 0.5;
  }
  nlopt_opt const search = nlopt_create(NLOPT_LN_SBPLX, static_cast<unsigned>(logs.size()));
  if (search == nullptr) throw std::bad_alloc();
  nlopt_set_lower_bounds(search, least.data());
  nlopt_set_upper_bounds(search, most.data());
  nlopt_set_initial_step(search, step.data());
  nlopt_set_min_objective(search, loss_of_merge_costs, &problem);
  nlopt_set_ftol_rel(search, 1e-9);
  nlopt_set_maxeval(search, 20'000);
  double loss = 0;
  nlopt_optimize(search, logs.data(), &loss);  // where it ends early, it is at the best point it has seen
  nlopt_destroy(search);
  MergeCosts costs = problem.costs(logs.data());
  for (std::size_t i = 0; i < kCosts.size(); ++i) {
    bool const asked = std::any_of(problem.demands.begin(), problem.demands.end(),
                                   [i](Demand const& demand) { return demand.amounts[i] > 0; });
    if (!asked || costs.*kCosts[i] <= kLeast_s) costs.*kCosts[i] = 0;  // or cannot be told from none
  }
  return costs;
}

Json json_of(std::filesystem::path const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw NoResultFile(path.string() + ": cannot be read");
  try {
    return Json::parse(std::string{std::istreambuf_iterator<char>(file), {}});
  } catch (Json::Error const&) {
    throw NoResultFile(path.string() + ": is no JSON");
  }
}

bool is_of_merge(Json const& json) {
  if (!json.is_object() || !json.contains("context")) return false;
  auto const& line = json["context"].value("command_line", Json::array());
  return line.is_array() && line.size() > 1 && line[0] == "tally-mpi" && line[1] == "merge";
}

}  // namespace

std::string_view name_of(KeyKind kind) { return kind == KeyKind::dense ? "dense" : "text"; }

bool sums_in_shares(std::size_t bytes, int ranks) noexcept {
  return bytes >= std::max(kEagerBytes, kLeastShareBytes * static_cast<std::size_t>(ranks));
}

MergeShape shape_of(MergePoint const& point) {
  if (point.ranks < 2) return {};
  return point.kind == KeyKind::dense ? dense_shape(point) : text_shape(point);
}

bool is_merge_file(std::filesystem::path const& path) {
  try {
    return is_of_merge(json_of(path));
  } catch (NoResultFile const&) {
    return false;
  }
}

std::vector<MeasuredMerge> read_merge_file(std::filesystem::path const& path) {
  Json const json = json_of(path);
  if (!is_of_merge(json)) throw NoResultFile(path.string() + ": 'tally-mpi merge' did not write it");
  std::vector<MeasuredMerge> merges;
  std::string const cpu_model = json.at("context").value("cpu_model", kUnknownCpu);
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> times;  // of merges, of ways
  try {
    for (Json const& entry : json.at("benchmarks")) {
      if (entry.at("ranks").get<int>() < 2) continue;
      std::string const name = entry.at("name").get<std::string>();
      auto const [found, is_new] = times.try_emplace(name);
      found->second.first.push_back(entry.at("real_time").get<double>() * 1e-3);
      found->second.second.push_back(entry.at("round_trip_s").get<double>() / 2);
      if (!is_new) continue;
      MeasuredMerge merge{.path = path.string(), .name = name, .cpu_model = cpu_model, .point = {}};
      merge.point.kind = entry.at("kind") == "dense" ? KeyKind::dense : KeyKind::text;
      merge.point.keys = entry.at("keys").get<std::uint64_t>();
      merge.point.ranks = entry.at("ranks").get<int>();
      merge.point.disjoint = entry.at("disjoint").get<bool>();
      merge.point.remote = entry.at("hosts").get<int>() > 1;
      merge.point.ranks_per_cpu = entry.at("ranks_per_cpu").get<double>();
      merges.push_back(std::move(merge));
    }
  } catch (Json::Error const& wrong) {
    throw NoResultFile(path.string() + ": is not whole, or of another version: " + wrong.what());
  }
  for (MeasuredMerge& merge : merges) {
    auto const& [took_s, way_s] = times[merge.name];
    Interval const interval = median_interval(took_s);
    merge.median_s = interval.median;
    merge.low_s = interval.low;
    merge.high_s = interval.high;
    merge.point.way_s = median_interval(way_s).median;
  }
  return merges;
}

MergeModel::MergeModel(std::vector<MeasuredMerge> merges) : merges_(std::move(merges)) {
  if (merges_.size() < kLeastMerges)
    throw std::invalid_argument(std::to_string(merges_.size()) + " merges were measured, of " +
                                std::to_string(kLeastMerges) + " that it takes to know their costs");
  // About what they are on a machine of today, so that the search is short.
  constexpr MergeCosts kStart{20e-6, 20e-6, 8e-9, 2e-6, 0.3e-9, 2e-9, 30e-9, 5e-9, 80e-9};
  costs_ = fit(merges_, kStart);
  // Ten-fold: each tenth by a fit to the others.
  constexpr std::size_t kFolds = 10;
  std::vector<double> offs;
  for (std::size_t fold = 0; fold < kFolds; ++fold) {
    std::vector<MeasuredMerge> others;
    for (std::size_t i = 0; i < merges_.size(); ++i)
      if (i % kFolds != fold) others.push_back(merges_[i]);
    MergeCosts const costs = fit(others, costs_);
    for (std::size_t i = fold; i < merges_.size(); i += kFolds)
      offs.push_back(
          std::abs(std::log(seconds_of(demand_of(merges_[i].point), costs) / merges_[i].median_s)));
  }
  std::sort(offs.begin(), offs.end());
  typical_factor_ = std::exp(offs[std::min(offs.size() - 1, (offs.size() * 9 + 9) / 10)]);
}

double MergeModel::predict_s(MergePoint const& point) const {
  return point.ranks < 2 ? 0 : seconds_of(demand_of(point), costs_);
}

bool MergeModel::knows_hosts() const noexcept {
  return std::any_of(merges_.begin(), merges_.end(), [](MeasuredMerge const& m) { return m.point.remote; });
}

double MergeModel::shortest_way_s() const noexcept {
  double shortest_s = 1;
  for (MeasuredMerge const& merge : merges_)
    if (merge.point.remote) shortest_s = std::min(shortest_s, merge.point.way_s);
  return shortest_s;
}

int merging_passes_counting(Hosts const& hosts, MergeModel const& model, int most) {
  auto const passes = [&](int ranks) {
    MergePoint point = hosts.merge;
    point.ranks = ranks;
    return model.predict_s(point) >= hosts.count_s(ranks);
  };
  // What merging takes has steps: each number of hosts is looked at while they are few, and then by a
  // hundredth more each.
  for (int ranks = 2; ranks <= most; ranks += std::max(1, ranks / 100))
    if (passes(ranks)) return ranks;
  return 0;
}

}  // namespace tally
