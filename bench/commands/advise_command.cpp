#include <algorithm>
#include <map>
#include <optional>

#include "bench/advice/advice.hpp"
#include "bench/advice/hosts_advice.hpp"
#include "bench/analysis/campaign_result.hpp"
#include "bench/base/console.hpp"
#include "bench/base/exit_status.hpp"
#include "bench/base/json.hpp"
#include "bench/base/lists.hpp"
#include "bench/base/text_table.hpp"
#include "bench/base/units.hpp"
#include "bench/campaign/campaign.hpp"
#include "bench/cli/argument_parser.hpp"
#include "bench/cli/options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/machine/machine.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/plan/slo.hpp"

namespace tally {
namespace {

constexpr double kNear = 2;  // no farther in any factor: measured there, as good as
// A cell of which six rounds say little is measured again, as often as a minute for all models allows: else
// one of several that are as fast seems the fastest by chance.
constexpr char kConfirmRounds[] = "6:24", kConfirmBudget[] = "45s";
constexpr char kMeasureFirst[] = "'tally map --out map.json' measures in ten minutes what advice rests on";

/// What `--from` names.
struct Read {
  std::vector<ResultFile> files;
  std::vector<MeasuredMerge> merges;
};

Read read_results(std::optional<std::string> const& from) {
  if (!from)
    throw UsageError(std::string("--from RESULT.json: there is nothing to advise from; ") + kMeasureFirst);
  Read read;
  auto& files = read.files;
  for (std::string const& path : split_list("--from", *from)) {
    try {
      if (is_merge_file(path)) {
        for (MeasuredMerge& merge : read_merge_file(path)) read.merges.push_back(std::move(merge));
        continue;
      }
      files.push_back(read_result_file(path));
    } catch (NoResultFile const& e) {
      throw UsageError(std::string("--from ") + e.what());
    }
    ResultFile const &one = files.front(), &other = files.back();
    if (one.host != other.host || one.machine() != other.machine())
      throw UsageError("--from: " + one.path + " is of " + one.host + " (" + one.machine() + "), and " +
                       other.path + " of " + other.host + " (" + other.machine() +
                       "): take those of one machine");
    if (one.wait_distribution != other.wait_distribution)
      throw UsageError("--from: waits are " + std::string(name_of(one.wait_distribution)) + " in " +
                       one.path + " and " + std::string(name_of(other.wait_distribution)) + " in " +
                       other.path);
    if (one.idle != other.idle)
      throw UsageError("--from: CPUs that wait " + std::string(name_of(one.idle)) + " in " + one.path +
                       ", and " + std::string(name_of(other.idle)) + " in " + other.path +
                       " (--idle): take files that are alike");
  }
  if (files.empty())
    throw UsageError(std::string("--from ") + *from + ": nothing of models on one host; " + kMeasureFirst);
  return read;
}

/// What --hosts asks, what merging is said to take, and what a reader must know of it.
struct OnHosts {
  HostsQuestion question;
  std::vector<HostsAdvice> advice;
  std::vector<std::string> warnings;
};

/// What a reader must know before the table, a line each.
std::vector<std::string> warnings(std::vector<ResultFile> const& files, Advice const& advice,
                                  std::optional<OnHosts> const& on_hosts) {
  std::vector<std::string> lines;
  ResultFile const& file = files.front();
  Json const here = describe_machine();
  std::string const cpu_model = here.value("cpu_model", kUnknownCpu);
  auto const cpus = static_cast<int>(usable_cpus().size());
  if (cpu_model != file.cpu_model || cpus != file.cpus)
    lines.push_back("measured on another machine: " + file.machine() + "; here: " + cpu_model + ", " +
                    std::to_string(cpus) + " CPUs. It is advice for that one; " + kMeasureFirst);
  for (ResultFile const& f : files)
    if (!f.unfit.empty()) lines.push_back(f.path + ": " + f.unfit);
  std::string outside;
  for (std::string const& text : advice.distance.outside) outside += (outside.empty() ? "" : ", ") + text;
  if (!outside.empty())
    lines.push_back(
        "BEYOND what was measured: " + outside +
        "; intervals are wider there, and no more than a guess at what nobody tried. --confirm measures it");
  if (!advice.contradiction.empty()) lines.push_back(advice.contradiction);
  for (ResultFile const& f : files)
    for (auto const& [cell, why] : f.failed) lines.push_back("failed when measured: " + cell + ": " + why);
  if (on_hosts) lines.insert(lines.end(), on_hosts->warnings.begin(), on_hosts->warnings.end());
  return lines;
}

std::string nearest(Distance const& distance) {
  std::string const text = "nearest measured: " + distance.nearest;
  if (distance.differs_most.empty()) return text + ", which is it";
  return text + " (" + format_fixed(distance.factor, 1) + " times as much or little " +
         distance.differs_most + (distance.factor <= kNear ? ")" : ", far enough to --confirm)");
}

std::string within(Prediction const& p) {
  return "[" + format_scaled(p.low) + ", " + format_scaled(p.high) + "]";
}

/// What --confirm measured of a model.
struct Confirmation {
  Interval rate;                       ///< events/s in the long run, of which the prediction is
  std::optional<Interval> of_fastest;  ///< its ratio to the fastest that was measured, round by round
};
using Confirmed = std::map<std::string, Confirmation>;

std::string advice_table(std::vector<ResultFile> const& files, Question const& question, Advice const& advice,
                         Confirmed const* measured, std::optional<OnHosts> const& on_hosts) {
  std::string out;
  for (std::string const& line : warnings(files, advice, on_hosts)) out += wrap(line, kTextWidth, 2) + "\n";
  ResultFile const& file = files.front();
  out += wrap(question.point.text() + "; from " + std::to_string(files.size()) +
                  (files.size() == 1 ? " file of " : " files of ") + file.machine() + ", " +
                  file.date.substr(0, 10),
              kTextWidth, 2) +
         "\n" + wrap(nearest(advice.distance), kTextWidth, 2) + "\n\n";
  std::vector<TextTable::Column> columns{
      {"rank"},  {"model", TextTable::Align::left}, {"events/s"}, {"90%"}, {"CPU/event"}, {"CPUs"},
      {"memory"}};
  if (question.slo) columns.push_back({spell(*question.slo).substr(0, spell(*question.slo).find('='))});
  if (measured != nullptr) columns.push_back({"measured"});
  columns.push_back({"why", TextTable::Align::left});
  TextTable table(columns);
  for (ModelAdvice const& m : advice.models) {
    if (!m.prediction) {
      table.spanning_row({"", m.model}, m.why);
      continue;
    }
    Prediction const& p = *m.prediction;
    std::vector<std::string> row{m.rank == 0 ? "no" : std::to_string(m.rank) + (m.shares_rank ? "=" : " "),
                                 m.model,
                                 format_scaled(p.items_per_second),
                                 within(p),
                                 format_seconds(p.cpu_s_per_event),
                                 format_fixed(p.items_per_second * p.cpu_s_per_event, 2),
                                 format_bytes(p.memory_bytes)};
    if (question.slo) row.push_back(m.percentile_s ? format_seconds(*m.percentile_s) : "");
    if (measured != nullptr) {
      auto const found = measured->find(m.model);
      row.push_back(found == measured->end()
                        ? "failed"
                        : format_scaled(found->second.rate.median) +
                              (found->second.rate.median < p.low || found->second.rate.median > p.high
                                   ? " OUTSIDE"
                                   : ""));
    }
    row.push_back(m.why);
    table.row(std::move(row));
  }
  out += table.str(kTextWidth);
  out +=
      "\n=  the prediction cannot tell it from the row above; the interval is that of nine predictions of "
      "ten\n";
  if (on_hosts) out += hosts_table(on_hosts->question, on_hosts->advice);
  return out;
}

Json advice_json(std::vector<ResultFile> const& files, Question const& question, Advice const& advice,
                 Confirmed const* measured, std::optional<OnHosts> const& on_hosts) {
  Point const& point = question.point;
  Json asked{{"stream", name_of(point.stream)}, {"workers", point.workers}, {"grain_s", point.grain_s}};
  if (point.stream == StreamKind::cpu) {
    asked["batch"] = point.batch;
  } else {
    asked["wait_s"] = point.wait_s;
    asked["in_flight"] = point.in_flight;
  }
  Json models = Json::array();
  for (ModelAdvice const& m : advice.models) {
    Json row{{"model", m.model}, {"why", m.why}};
    if (m.prediction) {
      Prediction const& p = *m.prediction;
      row["excluded"] = m.rank == 0;
      if (m.rank > 0) row["rank"] = m.rank;
      row["items_per_second"] = p.items_per_second;
      row["low"] = p.low;
      row["high"] = p.high;
      row["cpu_s_per_event"] = p.cpu_s_per_event;
      row["memory_bytes"] = p.memory_bytes;
      row["latency_mean_s"] = p.latency_s;
      if (m.percentile_s) row["latency_percentile_s"] = *m.percentile_s;
      row["limited_by"] = name_of(p.limit);
      row["typical_factor"] = m.typical_factor;
    }
    if (measured != nullptr) {
      if (auto const found = measured->find(m.model); found != measured->end()) {
        Confirmation const& confirmed = found->second;
        row["measured"] = confirmed.rate.median;
        row["measured_low"] = confirmed.rate.low;
        row["measured_high"] = confirmed.rate.high;
        if (confirmed.of_fastest) {
          row["of_fastest"] = confirmed.of_fastest->median;
          row["of_fastest_low"] = confirmed.of_fastest->low;
          row["of_fastest_high"] = confirmed.of_fastest->high;
        }
      }
    }
    models.push_back(std::move(row));
  }
  Json from = Json::array();
  for (ResultFile const& file : files) from.push_back({{"path", file.path}, {"result_id", file.id}});
  Json result{{"asked", asked},
              {"from", from},
              {"warnings", warnings(files, advice, on_hosts)},
              {"nearest", advice.distance.nearest},
              {"distance_factor", advice.distance.factor},
              {"outside", advice.distance.outside},
              {"models", models}};
  if (on_hosts) result["on_hosts"] = hosts_json(on_hosts->question, on_hosts->advice);
  return result;
}

/// What a reader must know of merges before what they say of so many hosts.
std::vector<std::string> warnings_of_merges(std::vector<MeasuredMerge> const& merges, ResultFile const& file,
                                            int hosts) {
  std::vector<std::string> lines;
  auto const other = std::find_if(merges.begin(), merges.end(), [&](MeasuredMerge const& merge) {
    return merge.cpu_model != file.cpu_model;
  });
  if (other != merges.end())
    lines.push_back("merges were measured on other CPUs than models: " + other->path + " on " +
                    other->cpu_model + ", " + file.path + " on " + file.cpu_model +
                    "; together they are of neither");
  int most = 0;
  for (MeasuredMerge const& merge : merges)
    if (merge.point.remote) most = std::max(most, merge.point.ranks);
  if (hosts > most)
    lines.push_back("BEYOND what was measured: merging over " + std::to_string(hosts) + " hosts, of " +
                    std::to_string(most) + " at most that were tried");
  return lines;
}

/// What the options about hosts ask.
struct HostsOptions {
  std::optional<std::string> const &hosts, &events, &keys, &key_bytes, &round_trip;
  bool const& text;
};

std::optional<OnHosts> on_hosts(HostsOptions const& given, std::vector<MeasuredMerge> const& merges,
                                Advice const& advice, ResultFile const& file) {
  if (!given.hosts) {
    for (auto const& [flag, value] : {std::pair{"--events", &given.events},
                                      {"--keys", &given.keys},
                                      {"--key-bytes", &given.key_bytes},
                                      {"--round-trip", &given.round_trip}})
      if (*value) throw UsageError(std::string(flag) + " is of many hosts: add --hosts N, or leave it out");
    if (given.text) throw UsageError("--text is of many hosts: add --hosts N, or leave it out");
    return std::nullopt;
  }
  OnHosts asked;
  asked.question.hosts = static_cast<int>(parse_count("--hosts", *given.hosts, 1, kMostHosts));
  if (given.events)
    asked.question.events =
        static_cast<double>(parse_count("--events", *given.events, 1, 1'000'000'000'000'000));
  MergePoint& merge = asked.question.merge;
  merge.kind = given.text ? KeyKind::text : KeyKind::dense;
  if (given.keys) merge.keys = parse_count("--keys", *given.keys, 1, 1'000'000'000);
  if (given.key_bytes) {
    if (!given.text) throw UsageError("--key-bytes is of text keys: add --text, or leave it out");
    merge.key_bytes = static_cast<double>(parse_count("--key-bytes", *given.key_bytes, 1, 1'000'000));
  }
  try {
    MergeModel const model(merges);
    if (!model.knows_hosts()) throw std::invalid_argument("none of them over several hosts");
    merge.way_s =
        given.round_trip
            ? std::chrono::duration<double>(parse_duration("--round-trip", *given.round_trip)).count() / 2
            : model.shortest_way_s();
    asked.advice = advise_hosts(advice, asked.question, model);
    asked.warnings = warnings_of_merges(merges, file, asked.question.hosts);
  } catch (std::invalid_argument const& few) {
    throw UsageError("--hosts " + *given.hosts + ": of merges, --from has " + few.what() +
                     "; 'tally-mpi merge --out merge.json' measures some, on your hosts and on one");
  }
  return asked;
}

/// Measures the point that was asked for, with the models that were advised on.
CampaignResult confirm(Question const& question, Advice const& advice, ResultFile const& file,
                       std::string const& rounds, std::span<Model const> models) {
  std::vector<std::string> names;
  for (ModelAdvice const& m : advice.models) {
    auto const known =
        std::find_if(models.begin(), models.end(), [&](Model const& k) { return k.name == m.model; });
    if (m.prediction && known != models.end() && known->unavailable.empty()) names.push_back(m.model);
  }
  Point const& point = question.point;
  auto const ns = [](double seconds) { return std::to_string(std::llround(seconds * 1e9)) + "ns"; };
  std::string list;
  for (std::string const& name : names) list += (list.empty() ? "" : ",") + name;
  Arguments arguments{"--model",       list,
                      "--stream",      std::string(name_of(point.stream)),
                      "--workers",     std::to_string(point.workers),
                      "--grain",       ns(point.grain_s),
                      "--rounds",      rounds,
                      "--time-budget", kConfirmBudget,
                      "--idle",        std::string(name_of(file.idle))};
  if (point.stream == StreamKind::cpu) {
    arguments.insert(arguments.end(), {"--batch", std::to_string(point.batch)});
  } else {
    arguments.insert(arguments.end(),
                     {"--wait", ns(point.wait_s), "--in-flight", std::to_string(point.in_flight),
                      "--wait-dist", std::string(name_of(file.wait_distribution))});
  }
  RunOptions options = parse_run_options(arguments, models);
  options.most_draining = defaults::kMapMostDraining;
  Plan const plan = make_plan(options);
  check_limits(plan, options);
  return run_campaign(options, plan);
}

Confirmed confirmed(CampaignResult const& result) {
  auto const rate = [&](std::size_t i) {
    CellResult const& cell = result.cells[i];
    return cell.failure.empty() ? cell.throughput() : std::nullopt;
  };
  std::optional<std::size_t> fastest;
  for (std::size_t i = 0; i < result.cells.size(); ++i)
    if (rate(i) && (!fastest || rate(i)->median > rate(*fastest)->median)) fastest = i;
  Confirmed found;
  for (std::size_t i = 0; i < result.cells.size(); ++i)
    if (rate(i))
      found.emplace(result.cells[i].cell.model->name,
                    Confirmation{*result.cells[i].long_run_throughput(), result.ratio(i, *fastest)});
  return found;
}

}  // namespace

int advise_command(Arguments const& arguments, std::span<Model const> models) {
  ArgumentParser parser(
      "tally advise",
      "Which model to take for so much work and waiting per event: what each would do there, by a "
      "cost model fitted to cells that were measured, what limits it, and how far that is from "
      "anything measured. Exit status: 0, or 1 if no model can do what is asked.");
  auto const& grain = parser.option("--grain", "D", "CPU time per event (default 0: counting alone)");
  auto const& wait = parser.option("--wait", "D", "mean wait per event (default: events do not wait)");
  auto const& in_flight = parser.option("--in-flight", "N", "events waiting at once (default 100)");
  auto const& workers =
      parser.option("--workers", "N", "threads or processes (default: the CPUs of the file's machine)");
  auto const& batch = parser.option("--batch", "N", "events per task, where they do not wait (default 1)");
  auto const& slo =
      parser.option("--slo", "pP=D", "of events that wait: so many percent within D, as in p99=20ms");
  auto const& memory = parser.option("--memory", "BYTES", "that the model may take at most, as in 256M");
  auto const& from =
      parser.option("--from", "RESULT,..", "result files of one machine, as 'tally map' writes them");
  auto const& hosts =
      parser.option("--hosts", "N",
                    "on so many, each with a part of the events; --from has files of 'tally-mpi merge' too");
  auto const& events = parser.option("--events", "N", "of all hosts together (default 1G)");
  auto const& keys = parser.option("--keys", "N", "different keys that are merged (default 1k)");
  bool const& text_keys = parser.flag("--text", "keys are texts (default: integers)");
  auto const& key_bytes = parser.option("--key-bytes", "N", "mean length of text keys (default 16)");
  auto const& round_trip = parser.option(
      "--round-trip", "D", "of a small message between hosts (default: the shortest that was measured)");
  bool const& confirming = parser.flag("--confirm", "measure it here, and show the prediction beside it");
  auto const& rounds = parser.option(
      "--rounds", "N:M", std::string("of --confirm, as for 'tally run' (default ") + kConfirmRounds + ")");
  bool const& json = parser.flag("--json", "as JSON");
  parser.parse(arguments);

  auto const seconds = [](std::string_view flag, std::string const& text) {
    return std::chrono::duration<double>(parse_duration(flag, text)).count();
  };
  Question question;
  Point& point = question.point;
  if (grain) point.grain_s = seconds("--grain", *grain);
  if (wait) point.wait_s = seconds("--wait", *wait);
  point.stream = point.wait_s > 0 ? StreamKind::lookup : StreamKind::cpu;
  point.in_flight = 100;
  if (in_flight) point.in_flight = static_cast<int>(parse_count("--in-flight", *in_flight, 1, 1'000'000));
  if (batch) point.batch = parse_count("--batch", *batch, 1, 1'000'000'000);
  if (slo) question.slo = parse_slo("--slo", *slo);
  if (memory) question.memory_bytes = parse_count("--memory", *memory, 1);
  for (auto const& [flag, given] : {std::pair{"--in-flight", &in_flight}, {"--slo", &slo}})
    if (*given && point.stream == StreamKind::cpu)
      throw UsageError(std::string(flag) + " is of events that wait: add --wait D, or leave it out");
  if (rounds && !confirming)
    throw UsageError("--rounds is of what is measured: add --confirm, or leave it out");
  if (batch && point.stream == StreamKind::lookup)
    throw UsageError("--batch is of events that do not wait: leave it, or --wait, out");
  auto const [files, merges] = read_results(from);
  point.workers =
      workers ? static_cast<int>(parse_count("--workers", *workers, 1, 65'536)) : files.front().cpus;

  Advice advice;
  try {
    advice = advise(files, question);
  } catch (std::invalid_argument const& e) {
    throw UsageError("--from " + *from + ": " + e.what() + "; " + kMeasureFirst);
  }
  auto const spread =
      on_hosts({hosts, events, keys, key_bytes, round_trip, text_keys}, merges, advice, files.front());
  Confirmed measured;
  bool failed = false;
  if (confirming) {
    CampaignResult const result =
        confirm(question, advice, files.front(), rounds.value_or(kConfirmRounds), models);
    if (result.interrupted) return kInterruptedStatus;
    measured = confirmed(result);
    failed = result.any_failed();
  }
  Confirmed const* const beside = confirming ? &measured : nullptr;
  write_output(json ? advice_json(files, question, advice, beside, spread).dump(2) + "\n"
                    : advice_table(files, question, advice, beside, spread));
  bool const any =
      advice.contradiction.empty() && std::any_of(advice.models.begin(), advice.models.end(),
                                                  [](ModelAdvice const& m) { return m.rank > 0; });
  return any && !failed ? 0 : kFailedStatus;
}

}  // namespace tally
