#include <algorithm>
#include <set>

#include "bench/advice/map_plan.hpp"
#include "bench/analysis/campaign_result.hpp"
#include "bench/base/atomic_file.hpp"
#include "bench/base/console.hpp"
#include "bench/base/exit_status.hpp"
#include "bench/base/lists.hpp"
#include "bench/base/text_table.hpp"
#include "bench/base/units.hpp"
#include "bench/campaign/campaign.hpp"
#include "bench/cli/argument_parser.hpp"
#include "bench/cli/options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

/// A border is known well enough when its two sides differ by no more.
constexpr double kFactor = 2;
/// So many points are refined at once: in rounds together, which drift strikes alike.
constexpr std::size_t kPointsAtOnce = 8;
constexpr std::chrono::nanoseconds kSampleLength = 100ms;
/// Points without a winner are measured again while there is time and no border left to refine, up to so many
/// times the rounds.
constexpr std::size_t kMostDeepened = 4;

/// A model that is slower than another by this in each of three rounds is no contender.
constexpr double kOutrunBy = 1.5;

/// A map is of the models: what it costs to wake CPUs that sleep is the machine's, and on a virtual machine
/// several times as much in one minute as in the next.
constexpr char kIdle[] = "poll";
constexpr char kTimeBudget[] = "540s", kRounds[] = "6";
constexpr char kGrains[] = "0,30us,1ms", kWaits[] = "0,100us,1ms,10ms", kInFlights[] = "1,6,32,1024";

/// The cells of one group: `sequential` only where it is no other group's too.
void add_cells(Plan& plan, Group group, RunOptions const& options, std::set<std::string>& left_out) {
  for (Model const* const model : options.models) {
    if (!model->candidate || !runs(*model, group.stream)) continue;
    bool const others_too = group.workers > 1 || (group.stream == StreamKind::lookup && group.in_flight > 1);
    if (model->sequential && others_too) continue;
    Plan one;
    one.cells.push_back(cell_in(group, *model));
    try {
      check_limits(one, options);
    } catch (UsageError const& e) {
      left_out.insert(e.what());
      continue;
    }
    group.cells.push_back(plan.cells.size());
    plan.cells.push_back(one.cells.front());
  }
  if (!group.cells.empty()) plan.groups.push_back(std::move(group));
}

Plan plan_of(std::vector<Group> groups, RunOptions const& options, std::set<std::string>& left_out) {
  Plan plan;
  for (Group& group : groups) add_cells(plan, std::move(group), options, left_out);
  return plan;
}

std::string name_in(CampaignResult const& result, std::size_t cell) {
  return std::string(result.cells[cell].cell.model->name);
}

std::string names_in(CampaignResult const& result, std::vector<std::size_t> const& cells) {
  std::string names;
  for (std::size_t const cell : cells) names += (names.empty() ? "" : ", ") + name_in(result, cell);
  return names;
}

std::string plane_of(Group const& group) {
  std::string const workers = std::to_string(group.workers) + (group.workers == 1 ? " worker" : " workers");
  if (group.stream == StreamKind::cpu)
    return "cpu: events that do not wait, " + workers +
           (group.batch == 1 ? ", a task each" : ", tasks of " + std::to_string(group.batch));
  return "lookup: " + workers + ", " + std::to_string(group.in_flight) + " in flight";
}

/// One table for all points of the same workers and events in flight.
std::string tables(CampaignResult const& result, std::vector<MapPoint> const& points) {
  std::vector<std::string> planes;
  for (MapPoint const& point : points)
    if (std::string const plane = plane_of(*point.group);
        std::find(planes.begin(), planes.end(), plane) == planes.end())
      planes.push_back(plane);
  std::string out;
  for (std::string const& plane : planes) {
    std::vector<MapPoint const*> here;
    for (MapPoint const& point : points)
      if (plane_of(*point.group) == plane) here.push_back(&point);
    std::sort(here.begin(), here.end(), [](MapPoint const* a, MapPoint const* b) {
      return std::pair(a->group->wait, a->group->grain) < std::pair(b->group->wait, b->group->grain);
    });
    bool const waits = here.front()->group->stream == StreamKind::lookup;
    std::vector<TextTable::Column> columns;
    if (waits) columns.push_back({"wait"});
    columns.insert(columns.end(), {{"grain"},
                                   {"events/s"},
                                   {"winner", TextTable::Align::left},
                                   {"lead"},
                                   {"95%"},
                                   {"over", TextTable::Align::left}});
    TextTable table(columns);
    for (MapPoint const* const point : here) {
      std::vector<std::string> row;
      if (waits) row.push_back(format_duration(point->group->wait));
      row.push_back(format_duration(point->group->grain));
      row.push_back(format_scaled(result.cells[point->leaders.front()].throughput()->median));
      if (!point->separated()) {
        std::string rest = "not separated: " + names_in(result, point->leaders);
        if (point->has_next)
          rest += "; " + format_fixed(point->lead.median, 2) + "x over " + name_in(result, point->next);
        table.spanning_row(std::move(row), rest);
        continue;
      }
      row.push_back(name_in(result, point->leaders.front()));
      if (!point->has_next) {
        row.push_back("> " + format_fixed(kOutrunBy, 1) + "x");
      } else {
        row.push_back(format_fixed(point->lead.median, 2) + "x");
        row.push_back("[" + format_fixed(point->lead.low, 2) + ", " + format_fixed(point->lead.high, 2) +
                      "]");
        row.push_back(name_in(result, point->next));
      }
      table.row(std::move(row));
    }
    out += plane + "\n" + table.str(kTextWidth) + "\n";
  }
  return out;
}

/// Where the winner changes, and how well that is known.
std::string border_lines(CampaignResult const& result, std::vector<MapPoint> const& points) {
  auto const all = borders(result, points);
  if (all.empty()) return "no border: nowhere do neighbours in grain or wait have no winner in common\n";
  std::string out = "borders\n";
  double worst_grain = 1, worst_wait = 1;
  std::size_t wide = 0;
  for (Border const& border : all) {
    Group const &a = *border.low->group, &b = *border.high->group;
    (border.in_grain ? worst_grain : worst_wait) =
        std::max(border.in_grain ? worst_grain : worst_wait, border.factor);
    wide += border.factor > kFactor;
    std::string const where = border.in_grain
                                  ? (a.stream == StreamKind::cpu ? "" : ", wait " + format_duration(a.wait))
                                  : ", grain " + format_duration(a.grain);
    out += wrap("  " + plane_of(a) + where + ": between " + (border.in_grain ? "grain " : "wait ") +
                    format_duration(border.in_grain ? a.grain : a.wait) + " (" +
                    names_in(result, border.low->leaders) + ") and " +
                    format_duration(border.in_grain ? b.grain : b.wait) + " (" +
                    names_in(result, border.high->leaders) + ")",
                kTextWidth, 4) +
           "\n";
  }
  out += "known within a factor of " + format_fixed(worst_grain, 1) + " in grain and " +
         format_fixed(worst_wait, 1) + " in wait";
  if (wide > 0)
    out += "; " + std::to_string(wide) + " of " + std::to_string(all.size()) + " wider than " +
           format_fixed(kFactor, 0) + ": a longer --time-budget narrows them";
  return out + "\n";
}

std::string render(CampaignResult const& result, std::set<std::string> const& left_out) {
  std::string out;
  if (std::string const unfit = result.unfit(); !unfit.empty())
    out += wrap("NOISY: " + unfit, kTextWidth, 7) + "\n\n";
  std::vector<MapPoint> const points = judge_points(result);
  out += tables(result, points) + border_lines(result, points);
  for (std::string const& text : left_out) out += wrap("left out: " + text, kTextWidth, 2) + "\n";
  for (CellResult const& cell : result.cells)
    if (!cell.failure.empty())
      out += wrap("FAILED " + cell.cell.name() + ": " + cell.failure, kTextWidth, 2) + "\n";
  std::size_t samples = 0;
  for (CellResult const& cell : result.cells) samples += cell.samples.size();
  out += std::to_string(points.size()) + " points, " + std::to_string(result.cells.size()) + " cells, " +
         std::to_string(samples) + " samples, " +
         format_fixed(std::chrono::duration<double>(result.took).count(), 0) +
         " s; the winner of a point is the model whose ratio to every other, round by round, excludes 1\n";
  if (!result.options.out.empty()) out += "results: " + result.options.out.string() + "\n";
  return out;
}

}  // namespace

int map_command(Arguments const& arguments, std::span<Model const> models) {
  ArgumentParser parser(
      "tally map",
      "Which model wins where: every combination of the lists, coarsely, and then between neighbours "
      "of which no model is among the fastest at both, and more rounds of points without a winner, as long "
      "as "
      "there is time. Its result file is what 'tally advise' takes.");
  auto const& model =
      parser.option("--model", "M,..", "models to compare, or all (default: as of tally run)");
  auto const& workers =
      parser.option("--workers", "N,..", "threads or processes (default: 1 and the CPUs there are)");
  auto const& grain =
      parser.option("--grain", "D,..", std::string("CPU time per event (default: ") + kGrains + ")");
  auto const& wait =
      parser.option("--wait", "D,..",
                    std::string("mean wait of an event; 0: events do not wait (default: ") + kWaits + ")");
  auto const& in_flight = parser.option("--in-flight", "N,..",
                                        std::string("events waiting at once (default: ") + kInFlights + ")");
  auto const& wait_dist = parser.option("--wait-dist", "NAME",
                                        "distribution of waits: exponential (default), fixed or lognormal");
  auto const& rounds =
      parser.option("--rounds", "N", std::string("of every point (default ") + kRounds + ")");
  auto const& time_budget = parser.option(
      "--time-budget", "D", std::string("begin nothing new after this (default ") + kTimeBudget + ")");
  auto const& idle = parser.option("--idle", "halt|poll",
                                   std::string("what CPUs do that have nothing to run (default ") + kIdle +
                                       "): sleep, which costs as this machine has it, or stay awake");
  auto const& out = parser.option("--out", "FILE.json", "write the results here");
  bool const& no_progress = parser.flag("--no-progress", "nothing on stderr while it runs");
  parser.parse(arguments);

  std::vector<int> const cpus = usable_cpus();
  std::string const all_workers = cpus.size() > 1 ? "1," + std::to_string(cpus.size()) : "1";
  MapAxes axes;
  std::string waits;
  for (std::string const& text : split_list("--wait", wait.value_or(kWaits))) {
    axes.waits.push_back(parse_duration("--wait", text));
    if (axes.waits.back().count() > 0) waits += (waits.empty() ? "" : ",") + text;
  }
  bool const any_cpu =
      std::any_of(axes.waits.begin(), axes.waits.end(), [](auto w) { return w.count() == 0; });
  // Read, and worded, as `tally run` does.
  Arguments run{"--stream",      any_cpu ? (waits.empty() ? "cpu" : "cpu,lookup") : "lookup",
                "--workers",     workers.value_or(all_workers),
                "--grain",       grain.value_or(kGrains),
                "--rounds",      rounds.value_or(kRounds),
                "--time-budget", time_budget.value_or(kTimeBudget),
                "--idle",        idle.value_or(kIdle)};
  auto const pass = [&run](std::string const& flag, std::optional<std::string> const& value) {
    if (value) run.insert(run.end(), {flag, *value});
  };
  pass("--model", model);
  pass("--wait-dist", wait_dist);
  pass("--out", out);
  if (!waits.empty()) run.insert(run.end(), {"--wait", waits, "--in-flight", in_flight.value_or(kInFlights)});
  if (no_progress) run.push_back("--no-progress");
  RunOptions options = parse_run_options(run, models);
  options.command = "map";
  options.command_line = arguments;
  options.sample_length = kSampleLength;
  options.most_draining = defaults::kMapMostDraining;
  options.outrun_by = kOutrunBy;
  if (options.min_rounds < kLeastValues)
    throw UsageError("--rounds '" + *rounds + "': no interval, and so no winner, with fewer than " +
                     std::to_string(kLeastValues));
  if (!options.out.empty()) check_output_file("--out", options.out);
  axes.workers = options.workers;
  axes.in_flights = options.in_flights;
  axes.grains = options.grains;
  for (auto* const axis : {&axes.workers, &axes.in_flights}) std::sort(axis->begin(), axis->end());
  for (auto* const axis : {&axes.grains, &axes.waits}) std::sort(axis->begin(), axis->end());

  std::set<std::string> left_out;
  Plan const plan = plan_of(coarse_points(axes), options, left_out);
  if (plan.cells.empty()) throw UsageError("there is no cell to measure: " + *left_out.begin());
  options.notes.insert(options.notes.end(), left_out.begin(), left_out.end());
  CampaignResult const result = run_campaign(options, plan, [&](CampaignResult const& so_far) {
    More more{.plan = plan_of(refining_points(so_far, kFactor, kPointsAtOnce), options, left_out)};
    if (more.plan.cells.empty())
      more.again = cells_to_tell_apart(so_far, kMostDeepened * static_cast<std::size_t>(options.max_rounds));
    return more;
  });
  write_output(render(result, left_out));
  if (result.interrupted) return kInterruptedStatus;
  return result.any_failed() ? kFailedStatus : 0;
}

}  // namespace tally
