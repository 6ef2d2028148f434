#include "bench/output/table.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/analysis/slo_answer.hpp"
#include "bench/base/json.hpp"
#include "bench/base/text_table.hpp"
#include "bench/base/units.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/slo.hpp"
#include "workloads/base/clock.hpp"
#include "workloads/ingest/load_generator.hpp"

namespace tally {
namespace {

/// The marks that occur, for the legend.
using Marks = std::set<std::string>;

/// Two decimals, or two digits of a program's that is hundreds of times slower.
std::string ratio_text(double ratio) {
  int decimals = ratio < 10 ? 2 : ratio < 100 ? 1 : 0;
  for (double least = 0.1; ratio < least && decimals < 6; least /= 10) ++decimals;
  return format_fixed(ratio, decimals) + "x";
}

/// `1 cell`, `2 cells`.
std::string number_of(std::size_t n, std::string const& thing) {
  return std::to_string(n) + " " + thing + (n == 1 ? "" : "s");
}

std::optional<double> cpu_per_event(CellResult const& cell) {
  return median_over(cell, [](Sample const& s) -> std::optional<double> {
    if (s.events == 0) return std::nullopt;
    return (s.user_s + s.sys_s) / static_cast<double>(s.events);
  });
}

std::string marks_of(CampaignResult const& result, std::size_t index, Marks& used) {
  CellResult const& cell = result.cells[index];
  std::string marks;
  auto const add = [&](std::string const& mark, std::string const& kind) {
    marks += (marks.empty() ? "" : " ") + mark;
    used.insert(kind);
  };
  if (cell.cell.model->external != nullptr) add("ext", "ext");
  if (result.ranks_share_cpus) add("CPUs", "CPUs");
  if (!result.converged(index)) add("~", "~");
  if (is_saturated(cell)) add("SAT", "SAT");
  if (cell.slo && cell.slo->generator_limited) add(">=", ">=");
  if (result.options.slo && keeps_slo(cell, *result.options.slo) == false) add("SLO", "SLO");
  auto const late = median_over(
      cell, [](Sample const& s) { return s.load ? std::optional(s.load->late_p99_s) : std::nullopt; });
  if (cell.cell.rate_per_s > 0 && late && *late > kGeneratorOnTime_s) add("late", "late");
  std::vector<double> rates;
  for (Sample const& sample : cell.samples) {
    if (sample.failure.empty()) rates.push_back(sample.items_per_second());
  }
  int const outliers = rates.empty() ? 0 : count_outliers(rates);
  if (outliers > 0) add("o" + std::to_string(outliers), "o");
  return marks;
}

std::string title_of(CampaignResult const& result, Group const& group) {
  std::string title = std::string(name_of(group.stream)) + ": " +
                      number_of(static_cast<std::size_t>(group.workers), "worker") + ", grain " +
                      format_duration(group.grain);
  if (group.stream == StreamKind::cpu) {
    title += ", batch " + (group.batch == kAutoBatch ? spell_batch(group.batch)
                                                     : format_scaled(static_cast<double>(group.batch)));
  } else if (group.stream == StreamKind::ingest) {
    title += ", " + number_of(static_cast<std::size_t>(group.connections), "connection") + ", " +
             (group.slo              ? "the highest rate with " + spell(*result.options.slo)
              : group.rate_per_s > 0 ? format_scaled(group.rate_per_s) + " events/s offered"
                                     : "as many as are taken");
    if (group.lookup) title += ", looked up, wait " + format_duration(group.wait);
  } else {
    title += ", wait " + format_duration(group.wait) + ", " + std::to_string(group.in_flight) + " in flight";
  }
  if (group.io == Io::io_uring) title += ", over io_uring";
  if (group.ranks > 0)
    title += ", in each of " + number_of(static_cast<std::size_t>(group.ranks), "rank") + " on " +
             number_of(static_cast<std::size_t>(group.hosts), "host");
  // The number of events may differ between the cells, since each is as long as its bound lets it be.
  std::uint64_t least = UINT64_MAX, most = 0;
  for (std::size_t const c : group.cells) {
    for (Sample const& sample : result.cells[c].samples) {
      if (!sample.failure.empty()) continue;
      least = std::min(least, sample.events);
      most = std::max(most, sample.events);
    }
  }
  if (least > most) return title;
  title += ", " + format_scaled(static_cast<double>(least));
  if (least != most) title += " to " + format_scaled(static_cast<double>(most));
  return title + " events a sample";
}

/// Whether the interval of a ratio excludes 1, with the confidence claimed: too few rounds separate nothing.
/// Rates that were searched for are known to 5% each, however steadily a model then keeps its own; and of
/// lookups, a lead below the `luck` of their waits (CellResult::luck_of_waits()) is none.
bool separates(Interval const& ratio, Group const& group, double luck = 0) {
  double const known_to = group.slo ? kSearchResolution * kSearchResolution : 1 + luck;
  return ratio.holds() && (ratio.low > known_to || ratio.high < 1 / known_to);
}

/// At a rate that is given, throughput is that rate, and ranks nobody.
bool ranks(Group const& group) { return group.slo || group.rate_per_s == 0; }

/// What a bound is made of.
std::string what_bounds(Bound::By by, Group const& group) {
  if (by == Bound::By::memory) return "the memory's bandwidth";
  if (by == Bound::By::service) return "the lookup service";
  if (group.stream == StreamKind::cpu) return "workers / grain";
  if (group.stream == StreamKind::lookup) return "in flight / (wait + grain)";
  if (group.rate_per_s > 0) return "the rate, or workers / grain";
  return group.lookup ? "connections / (wait + grain), or workers / grain" : "workers / grain";
}

/// What the rows of a group are compared with.
struct Base {
  std::optional<std::size_t> sequential;  ///< its cell
  std::string line;                       ///< for under the title; empty if nothing is known
};

Base base_of(CampaignResult const& result, Group const& group) {
  Base base;
  for (std::size_t const c : group.cells) {
    CellResult const& cell = result.cells[c];
    auto const rate = cell.throughput();
    if (ranks(group) && cell.cell.model->sequential && rate && rate->median > 0) {
      base.sequential = c;
      base.line = "ratios to " + std::string(cell.cell.model->name) + ", " + format_scaled(rate->median) +
                  " events/s";
    }
  }
  // Sequential has a bound of its own: one worker, one event in flight.
  for (std::size_t const c : group.cells) {
    CellResult const& cell = result.cells[c];
    if (cell.cell.model->sequential || !cell.cell.model->candidate) continue;
    auto const bound = result.bound(c);
    if (!bound) continue;
    base.line += (base.line.empty() ? "" : "; ") + std::string("bound: ") +
                 format_scaled(bound->items_per_second) + " events/s (" + what_bounds(bound->by, group) + ")";
    break;
  }
  return base;
}

/// The interval's half-width; with too few values for one of 95%, how many there are.
std::string interval_text(Interval const& rate) {
  if (!rate.holds()) return "n=" + std::to_string(rate.n);
  return "\u00b1" + format_percent(rate.relative_half_width(), 1);
}

std::string ratio_cell(CampaignResult const& result, Group const& group, std::size_t cell,
                       std::optional<std::size_t> base, Marks& used) {
  if (!base || !ranks(group)) return "";
  if (cell == *base) return "1 ";
  auto const ratio = result.ratio(cell, *base);
  if (!ratio) return "";
  bool const separated = separates(*ratio, group);
  if (!separated) used.insert("?");
  return ratio_text(ratio->median) + (separated ? " " : "?");
}

/// Why there is no rate at which the objective is kept: what happened at the lowest that was tried.
std::string no_rate_text(SloAnswer const& answer, Slo const& slo) {
  auto const lowest =
      std::min_element(answer.probes.begin(), answer.probes.end(),
                       [](auto const& a, auto const& b) { return a.rate_per_s < b.rate_per_s; });
  if (lowest == answer.probes.end()) return "not searched";
  std::string const text =
      "keeps " + spell(slo) + " at no rate: at " + format_scaled(lowest->rate_per_s) + " events/s ";
  if (!lowest->failure.empty()) return text + "it failed: " + lowest->failure;
  if (lowest->saturated) return text + "it fell behind";
  return text + "it was " + format_seconds(lowest->latency_s.value_or(0));
}

/// Where a task is one event, the CPU time of both is the same.
bool shows_cpu_per_event(Group const& group) { return group.stream != StreamKind::cpu || group.batch != 1; }

void add_row(TextTable& table, CampaignResult const& result, Group const& group, std::size_t c,
             std::string const& rank, Base const& base, Marks& used) {
  CellResult const& cell = result.cells[c];
  auto const rate = cell.throughput();
  std::string const name(cell.cell.model->name);
  if (!cell.failure.empty()) {
    table.spanning_row({"-", name}, "FAILED: " + cell.failure);
    return;
  }
  if (cell.closed == Closed::no_rate) {
    table.spanning_row({"-", name}, no_rate_text(*cell.slo, *result.options.slo));
    return;
  }
  if (!rate) {
    table.spanning_row({"-", name}, "not measured");
    return;
  }
  if (rate->median <= 0) {
    table.spanning_row({"-", name}, "no events: counted nothing, verified; there is no rate");
    return;
  }
  auto const efficiency = result.efficiency(c), of_limit = result.of_limit(c);
  auto const cpu = cpu_per_event(cell);
  auto const memory =
      median_over(cell, [](Sample const& s) { return std::optional(static_cast<double>(s.peak_rss_bytes)); });
  auto const tasks = [](Sample const& s) { return static_cast<double>(s.tasks); };
  std::string limit(result.limited_by(cell));
  if (limit == "service") used.insert("service");
  std::vector<std::string> row{rank,
                               name,
                               format_scaled(rate->median),
                               interval_text(result.claimed(*rate)),
                               ratio_cell(result, group, c, base.sequential, used),
                               efficiency ? format_percent(efficiency->median, 0) : "",
                               of_limit ? format_percent(of_limit->median, 0) : ""};
  if (shows_cpu_per_event(group)) row.push_back(cpu ? format_seconds(*cpu) : "");
  if (group.stream == StreamKind::cpu) {
    auto const cpu_per_task = median_over(cell, [&](Sample const& s) {
      return s.tasks > 0 ? std::optional((s.user_s + s.sys_s) / tasks(s)) : std::nullopt;
    });
    row.push_back(cpu_per_task ? format_seconds(*cpu_per_task) : "");
    if (group.batch == kAutoBatch)
      row.push_back(format_scaled(
          median_over(cell, [&](Sample const& s) { return std::optional(tasks(s)); }).value_or(0)));
  }
  row.insert(row.end(), {memory ? format_bytes(*memory) : "", std::move(limit), marks_of(result, c, used)});
  table.row(std::move(row));
}

/// The group's cells as they are listed: measured candidates by throughput, then those without a figure, then
/// `limit`.
std::vector<std::size_t> in_order(CampaignResult const& result, Group const& group) {
  auto const rate = [&](std::size_t c) {
    auto const interval = result.cells[c].throughput();
    return interval ? interval->median : -1.0;
  };
  auto order = group.cells;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    bool const a_runs = result.cells[a].cell.model->candidate, b_runs = result.cells[b].cell.model->candidate;
    return a_runs != b_runs ? a_runs : rate(a) > rate(b);
  });
  return order;
}

/// From when events were to be sent until they were counted, over all samples.
std::string render_latencies(CampaignResult const& result, Group const& group, std::size_t width,
                             Marks& used) {
  using enum TextTable::Align;
  TextTable table({{"latency of", left},
                   {"p50", right},
                   {"p90", right},
                   {"p99", right},
                   {"p99.9", right},
                   {"max", right},
                   {"as sent p99", right},
                   {"sends late p99", right}});
  bool any = false;
  for (std::size_t const c : in_order(result, group)) {
    CellResult const& cell = result.cells[c];
    std::string const name(cell.cell.model->name);
    if (!cell.failure.empty() || !cell.corrected || !cell.uncorrected) continue;
    any = true;
    if (is_saturated(cell)) {
      table.spanning_row({name},
                         "saturated: fell behind the rate, so latencies say how long it was measured");
      continue;
    }
    auto const at = [&](LatencyHistogram const& latencies, double percent) {
      bool const enough = latencies.total() >= latencies_needed(percent);
      if (!enough) used.insert("few");
      return format_seconds(in_seconds(latencies.at_percentile(percent))) + (enough ? " " : "!");
    };
    auto const late = median_over(
        cell, [](Sample const& s) { return s.load ? std::optional(s.load->late_p99_s) : std::nullopt; });
    table.row({name, at(*cell.corrected, 50), at(*cell.corrected, 90), at(*cell.corrected, 99),
               at(*cell.corrected, 99.9), format_seconds(in_seconds(cell.corrected->greatest())),
               at(*cell.uncorrected, 99), late ? format_seconds(*late) : ""});
  }
  return any ? table.str(width) : "";
}

/// Of ranks that count together: counting and merging apart.
std::string render_ranks(CampaignResult const& result, Group const& group, std::size_t width) {
  using enum TextTable::Align;
  TextTable table({{"over ranks", left},
                   {"counting", right},
                   {"merging", right},
                   {"share", right},
                   {"slowest/median", right},
                   {"merged", right}});
  bool any = false;
  for (std::size_t const c : in_order(result, group)) {
    CellResult const& cell = result.cells[c];
    if (!cell.failure.empty() || cell.samples.empty()) continue;
    auto const median = [&](auto figure) {
      return median_over(cell, [&](Sample const& s) {
        return s.team ? std::optional(static_cast<double>(figure(*s.team))) : std::nullopt;
      });
    };
    auto const count = median([](TeamFigures const& t) { return in_seconds(t.count); });
    auto const merge = median([](TeamFigures const& t) { return in_seconds(t.merge); });
    auto const share = median([](TeamFigures const& t) {
      return in_seconds(t.merge) / std::max(1e-9, in_seconds(t.count) + in_seconds(t.merge));
    });
    auto const imbalance = median([](TeamFigures const& t) { return t.imbalance; });
    auto const bytes = median([](TeamFigures const& t) { return t.merged_bytes; });
    if (!count || !merge || !share || !imbalance || !bytes) continue;
    any = true;
    table.row({std::string(cell.cell.model->name), format_seconds(*count), format_seconds(*merge),
               format_percent(*share, 1), format_fixed(*imbalance, 2), format_bytes(*bytes)});
  }
  return any ? table.str(width) : "";
}

std::string render_group(CampaignResult const& result, Group const& group, std::size_t width, Marks& used) {
  using enum TextTable::Align;
  Base const base = base_of(result, group);
  std::vector<TextTable::Column> columns{{"#", right},       {"model", left},   {"events/s", right},
                                         {"95%", right},     {"ratio ", right}, {"of bound", right},
                                         {"of limit", right}};
  if (shows_cpu_per_event(group)) columns.push_back({"CPU/event", right});
  if (group.stream == StreamKind::cpu) {
    columns.push_back({"CPU/task", right});
    if (group.batch == kAutoBatch) columns.push_back({"tasks", right});
  }
  columns.insert(columns.end(), {{"memory", right}, {"limited by", left}, {"marks", left}});
  TextTable table(std::move(columns));
  int place = 0, rank = 0;
  std::optional<std::size_t> above;
  for (std::size_t const c : in_order(result, group)) {
    CellResult const& cell = result.cells[c];
    auto const rate = cell.throughput();
    bool const ranked = ranks(group) && !result.ranks_share_cpus && cell.cell.model->candidate &&
                        cell.failure.empty() && rate && rate->median > 0;
    if (!ranked) {
      add_row(table, result, group, c, "", base, used);
      continue;
    }
    ++place;
    auto const ratio = above ? result.ratio(*above, c) : std::nullopt;
    // The rate of one whose generator was the limit is the least that it keeps: it is below nobody's for
    // certain.
    bool const may_be_more = cell.slo && cell.slo->generator_limited;
    bool const separated =
        !above || (ratio && separates(*ratio, group, result.cells[*above].luck_of_waits()) && !may_be_more);
    if (separated) rank = place;
    if (!separated) used.insert("=");
    add_row(table, result, group, c, std::to_string(rank) + (separated ? " " : "="), base, used);
    above = c;
  }
  std::string const latencies =
      group.rate_per_s > 0 || group.slo ? render_latencies(result, group, width, used) : "";
  return wrap(title_of(result, group), width, 2) + "\n" +
         (base.line.empty() ? "" : "  " + wrap(base.line, width - 2, 2) + "\n") + table.str(width) +
         latencies + (group.ranks > 1 ? render_ranks(result, group, width) : "") + "\n";
}

/// What the other build is, as its manifest says: `0.1.0 (5b9cf8cdeadb), /opt/tally`.
std::string name_other(CampaignResult const& result) {
  auto const other = Json::parse(result.manifest).at("against");
  std::string const commit = other.value("tally_commit", "unknown"),
                    tree = other.value("tally_tree", "unknown");
  return other.value("tally_version", "?") + " (" + commit.substr(0, 12) +
         (tree == "clean" ? "" : ", " + tree) + "), " + other.value("path", "?");
}

/// This build against the other, a row a cell.
std::string render_pairs(CampaignResult const& result, std::size_t width) {
  using enum TextTable::Align;
  TextTable table({{"cell", left},
                   {"this", right},
                   {"other", right},
                   {"ratio", right},
                   {"interval", right},
                   {"rounds", right},
                   {"verdict", left}});
  double confidence = kConfidence;
  for (Pair const& pair : result.plan.pairs) {
    auto const here = result.cells[pair.here].throughput(), there = result.cells[pair.there].throughput();
    auto const ratio = result.ratio_of(pair);
    std::string const cell = result.cells[pair.here].cell.name();
    if (!ratio || !here || !there) {
      std::string why = result.cells[pair.here].failure;
      if (why.empty()) why = result.cells[pair.there].failure;
      table.spanning_row({cell}, why.empty() ? "not measured" : "FAILED: " + why);
      continue;
    }
    confidence = ratio->confidence;
    table.row({cell, format_scaled(here->median), format_scaled(there->median),
               format_fixed(ratio->median, 3),
               "[" + format_fixed(ratio->low, 3) + ", " + format_fixed(ratio->high, 3) + "]",
               std::to_string(ratio->n), std::string(name(verdict(*ratio)))});
  }
  return wrap("this build against " + name_other(result), width, 2) + "\n" +
         wrap(
             "  ratios are this build's throughput over the other's, round by round, each with an interval "
             "of " +
                 format_percent(confidence, 2) + ", so that all of them hold with " +
                 format_percent(kConfidence, 0),
             width, 2) +
         "\n" + table.str(width) + "\n";
}

std::string legend(CampaignResult const& result, Marks const& used) {
  std::string text;
  auto const add = [&](std::string const& mark, std::string const& meaning) {
    if (used.contains(mark)) text += "  " + mark + meaning + "\n";
  };
  add("=", "  shares the rank of the row above: the interval of their ratio includes 1 (not separated)");
  add("?", "  the interval of the ratio to the base includes 1 (not separated)");
  add("~", "  did not converge: the " +
               std::string(result.plan.pairs.empty() ? "95% interval"
                                                     : "interval of the ratio to the other build") +
               " is wider than ±" + format_percent(result.options.ci, 1) + ", or has too few samples");
  add("ext", ": a program of its own (--external)");
  add("CPUs", ": ranks shared CPUs, and waited for each other: no claim, and no rank among models");
  add("o", "N number of samples far from the others (Tukey); they are counted in");
  add("SAT", ": fell behind the rate that was offered");
  add(">=", "  the generator could send no more on time: the model may keep more");
  if (used.contains("SLO"))
    text += "  SLO  kept " + spell(*result.options.slo) +
            " when its rate was verified, but not over all rounds\n";
  add("late", ": the load generator was late by more than 0.2 ms (p99): not the model's latency alone");
  if (used.contains("few"))
    text += "  !  fewer latencies than the percentile needs (MLPerf's rule, 99% confidence)\n";
  add("service", ": the lookup service was saturated; such rows do not compare models");
  return text.empty() ? "" : "marks\n" + text;
}

std::string summary(CampaignResult const& result, std::size_t width) {
  std::size_t failed = 0, samples = 0;
  for (CellResult const& cell : result.cells) {
    failed += cell.failure.empty() ? 0 : 1;
    samples += cell.samples.size();
  }
  std::string text = number_of(result.cells.size(), "cell") + ", " + number_of(samples, "sample") + " in " +
                     number_of(static_cast<std::size_t>(result.rounds), "round") + ", " +
                     format_seconds(in_seconds(result.took)) + "; medians with 95% intervals; " +
                     (samples == 0  ? "nothing was measured"
                      : failed == 0 ? "every count verified"
                                    : number_of(failed, "cell") + " FAILED");
  if (!result.lost.empty()) text += "; ENDED: " + result.lost + "; what was finished is here";
  if (result.interrupted) text += "; INTERRUPTED: what was finished is here";
  text = wrap(text, width, 2) + "\n";
  if (auto const floor = noise_floor(result.reference)) {
    std::string noise = "noise floor " + interval_text(*floor) + ", from least to greatest " +
                        format_percent(spread(result.reference), 1) + " (a fixed computation, once a round)";
    if (auto const reads = reference_read_bytes_per_s(result.reference); reads && reads->holds())
      noise += "; memory is read at " + format_scaled(reads->median) + " bytes/s \u00b1" +
               format_percent(reads->relative_half_width(), 1);
    if (result.steal_share) noise += "; steal " + format_percent(*result.steal_share, 1);
    if (!result.others.empty()) {
      double cpus = 0;
      for (BusyProcess const& other : result.others) cpus += other.cpus;
      noise += "; other processes used " + format_percent(cpus, 0) + " of a CPU, most of them " +
               result.others.front().name;
    }
    if (floor->holds()) noise += "; no interval is claimed that is narrower";
    text += wrap(noise, width, 2) + "\n";
  }
  if (!result.write_failure.empty()) return text + "RESULTS NOT WRITTEN: " + result.write_failure + "\n";
  if (!result.options.out.empty()) text += "results: " + result.options.out.string() + "\n";
  return text;
}

}  // namespace

std::string render_table(CampaignResult const& result, std::size_t width) {
  std::string out;
  if (std::string const unfit = result.unfit(); !unfit.empty())
    out += wrap("NOISY: " + unfit, width, 7) + "\n\n";
  for (auto const& contradiction : result.contradictions())
    out += wrap("WARNING: " + contradiction, width, 9) + "\n\n";
  for (auto const& note : result.notes) out += wrap("note: " + note, width, 6) + "\n";
  if (!result.notes.empty()) out += "\n";
  Marks used;
  for (Group const& group : result.plan.groups)
    if (!group.against) out += render_group(result, group, width, used);
  if (!result.plan.pairs.empty()) out += render_pairs(result, width);
  return out + legend(result, used) + summary(result, width);
}

}  // namespace tally
