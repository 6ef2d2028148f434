#include "bench/plan/plan.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "bench/base/lists.hpp"
#include "bench/base/name_pattern.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/parameter_table.hpp"
#include "bench/plan/parameters.hpp"

namespace tally {
namespace {

/// --benchmark_filter, as Google Benchmark reads it: POSIX extended, found anywhere in the name; `-` in front
/// negates, and "" and `all` let everything through.
class Filter {
 public:
  explicit Filter(std::string text) : negated_(text.starts_with('-')) {
    if (negated_) text.erase(0, 1);
    if (!text.empty() && text != "all") pattern_.emplace(text);
  }
  bool admits(std::string const& name) const { return (!pattern_ || pattern_->found_in(name)) != negated_; }

 private:
  bool negated_;
  std::optional<NamePattern> pattern_;
};

/// The groups that the options' lists combine to on a stream, without cells.
std::vector<Group> combinations(StreamKind stream, RunOptions const& options) {
  std::vector<Parameter const*> outermost_first;
  for (Parameter const& parameter : list_parameters()) outermost_first.push_back(&parameter);
  std::sort(outermost_first.begin(), outermost_first.end(),
            [](Parameter const* a, Parameter const* b) { return a->loop < b->loop; });
  Group first;
  first.stream = stream;
  first.lookup = stream == StreamKind::ingest && options.ingest_lookup;
  first.slo = stream == StreamKind::ingest && options.slo.has_value();
  std::vector<Group> groups{first};
  for (Parameter const* const parameter : outermost_first) {
    std::vector<Group> more;
    for (Group const& group : groups) {
      for (std::size_t i = 0; i < parameter->number(options, stream); ++i)
        parameter->set(more.emplace_back(group), options, i);
    }
    groups = std::move(more);
  }
  return groups;
}

/// Those asked for, of all ranks together; 0 if none were.
std::uint64_t events_of(Group const& group, RunOptions const& options) {
  std::uint64_t const share =
      options.scaling == Scaling::weak ? static_cast<std::uint64_t>(ranks_of(group)) : 1;
  return options.events.value_or(0) * share;
}

Cell cell_of(Group const& group, Model const& model, RunOptions const& options) {
  Cell cell = cell_in(group, model);
  cell.events = events_of(group, options);
  return cell;
}

/// Whether the model has a cell in the group: one that waits in one way alone has none where it would wait in
/// another, but sequential, the base of ratios.
bool belongs(Model const& model, Group const& group) {
  return group.io == Io::epoll || model.reactor || model.sequential;
}

/// The groups of a stream; of an MPI job, all of them for each number of ranks.
std::vector<Group> groups_of(StreamKind stream, RunOptions const& options) {
  std::vector<Group> groups = combinations(stream, options);
  if (options.ranks.empty()) return groups;
  std::vector<Group> of_ranks;
  for (int const ranks : options.ranks) {
    for (Group group : groups) {
      group.ranks = ranks;
      group.hosts = options.hosts_of_ranks.at(static_cast<std::size_t>(ranks - 1));
      of_ranks.push_back(std::move(group));
    }
  }
  return of_ranks;
}

/// The models asked for that run on `stream`, each once, in the order of the registry (which holds them in
/// one array), then those of --external (which are in another).
std::vector<Model const*> models_on(StreamKind stream, RunOptions const& options) {
  std::vector<Model const*> models;
  for (Model const* model : options.models) {
    if (runs(*model, stream)) models.push_back(model);
  }
  std::sort(models.begin(), models.end(), [](Model const* a, Model const* b) {
    bool const a_external = a->external != nullptr, b_external = b->external != nullptr;
    return a_external != b_external ? b_external : std::less<>{}(a, b);
  });
  models.erase(std::unique(models.begin(), models.end()), models.end());
  return models;
}

/// Why a program of its own has no cell in the group; empty if it has.
std::string_view not_offered(Model const& model, Group const& group) {
  if (model.external == nullptr) return "";
  if (group.grain.count() > 0) return "with a grain: the work of it is calibrated, and Tally's own";
  if (group.lookup) return "on ingest with --lookup";
  if (group.rate_per_s > 0) return "at a rate: when it counted which event, it does not tell";
  return "";
}

}  // namespace

Plan make_plan(RunOptions const& options) {
  Filter const filter(options.benchmark.filter);
  Plan plan;
  std::unordered_map<std::string, std::size_t> cell_index;
  std::unordered_map<std::string, bool> group_seen;
  for (StreamKind const stream : options.streams) {
    auto const models = models_on(stream, options);
    for (Group& group : groups_of(stream, options)) {
      if (!group_seen.emplace(group.name(), true).second) continue;
      // Of sequential alone, there is nothing that waits in this way.
      if (std::none_of(models.begin(), models.end(), [&](Model const* m) {
            return belongs(*m, group) && (group.io == Io::epoll || m->reactor);
          }))
        continue;
      for (Model const* model : models) {
        if (!belongs(*model, group)) continue;
        if (auto const why = not_offered(*model, group); !why.empty()) {
          std::string const note =
              std::string(model->name) + ", a program of its own, has no cells " + std::string(why);
          if (std::find(plan.notes.begin(), plan.notes.end(), note) == plan.notes.end())
            plan.notes.push_back(note);
          continue;
        }
        Cell cell = cell_of(group, *model, options);
        std::string const name = cell.name();
        if (!filter.admits(name)) continue;
        auto const [place, is_new] = cell_index.emplace(name, plan.cells.size());
        if (is_new) plan.cells.push_back(std::move(cell));
        group.cells.push_back(place->second);
      }
      if (!group.cells.empty()) plan.groups.push_back(std::move(group));
    }
  }
  if (plan.cells.empty()) {
    throw UsageError(options.benchmark.filter.empty()
                         ? "there is no cell to measure: " +
                               (plan.notes.empty() ? "no model asked for runs on this stream ('tally list')"
                                                   : join(plan.notes))
                         : "--benchmark_filter '" + options.benchmark.filter +
                               "' leaves no cell; --benchmark_list_tests names them");
  }
  return plan;
}

Plan with_other_build(Plan plan, std::vector<std::string> const& others) {
  std::unordered_map<std::size_t, std::size_t> twin;
  std::size_t const own = plan.cells.size();
  for (std::size_t i = 0; i < own; ++i) {
    if (std::find(others.begin(), others.end(), plan.cells[i].name()) == others.end()) continue;
    Cell cell = plan.cells[i];
    cell.against = true;
    twin[i] = plan.cells.size();
    plan.pairs.push_back({.here = i, .there = plan.cells.size()});
    plan.cells.push_back(std::move(cell));
  }
  std::size_t const groups = plan.groups.size();
  for (std::size_t g = 0; g < groups; ++g) {
    Group group = plan.groups[g];
    group.against = true;
    group.cells.clear();
    for (std::size_t const i : plan.groups[g].cells)
      if (auto const found = twin.find(i); found != twin.end()) group.cells.push_back(found->second);
    if (!group.cells.empty()) plan.groups.push_back(std::move(group));
  }
  return plan;
}

Pair const* Plan::pair_of(std::size_t cell) const {
  for (Pair const& pair : pairs)
    if (pair.here == cell || pair.there == cell) return &pair;
  return nullptr;
}

}  // namespace tally
