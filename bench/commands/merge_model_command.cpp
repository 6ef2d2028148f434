#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "bench/advice/merge_model.hpp"
#include "bench/advice/result_file.hpp"
#include "bench/base/console.hpp"
#include "bench/base/json.hpp"
#include "bench/base/lists.hpp"
#include "bench/base/text_table.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/argument_parser.hpp"
#include "bench/commands/commands.hpp"

namespace tally {
namespace {

constexpr char kMergeFirst[] =
    "'mpirun -n 2 tally-mpi merge --out merge.json' measures some, on one host and over several";

std::vector<MeasuredMerge> read_merges(std::string const& flag, std::optional<std::string> const& paths) {
  std::vector<MeasuredMerge> merges;
  if (!paths) return merges;
  for (std::string const& path : split_list(flag, *paths)) {
    try {
      for (MeasuredMerge& merge : read_merge_file(path)) merges.push_back(std::move(merge));
    } catch (NoResultFile const& wrong) {
      throw UsageError(flag + " " + wrong.what());
    }
  }
  return merges;
}

/// What the model says of a merge that was measured.
struct Checked {
  MeasuredMerge const* merge;
  bool fitted;
  double predicted_s;
  double off() const { return predicted_s / merge->median_s - 1; }
};

std::vector<Checked> check(MergeModel const& model, std::vector<MeasuredMerge> const& others) {
  std::vector<Checked> checked;
  for (MeasuredMerge const& merge : model.merges())
    checked.push_back({&merge, true, model.predict_s(merge.point)});
  for (MeasuredMerge const& merge : others) checked.push_back({&merge, false, model.predict_s(merge.point)});
  return checked;
}

double worst_of(std::vector<Checked> const& checked) {
  double worst = 0;
  for (Checked const& one : checked) worst = std::max(worst, std::abs(one.off()));
  return worst;
}

struct Predicted {
  MergePoint point;
  double seconds;
};

/// Where merging takes as long as counting: with so many hosts, 0 with none that are looked at.
struct Passing {
  MergePoint point;
  int strong, weak;
};

/// What is counted before it is merged.
struct Counting {
  double events, events_per_second;
};

Passing passing(MergePoint const& point, Counting const& counting, MergeModel const& model) {
  auto const hosts = [&](bool of_each) {
    return merging_passes_counting({point, counting.events, counting.events_per_second, of_each}, model,
                                   kMostHosts);
  };
  return {point, hosts(false), hosts(true)};
}

struct Outlook {
  std::vector<Predicted> predicted;
  std::optional<Counting> counting;
  std::vector<Passing> passing;
};

std::string hosts_or_more(int hosts) {
  return hosts == 0 ? "more than " + std::to_string(kMostHosts) : std::to_string(hosts);
}

std::string signed_percent(double part) { return (part < 0 ? "-" : "+") + format_percent(std::abs(part), 0); }

std::string costs_text(MergeCosts const& costs) {
  TextTable table(
      {{"cost", TextTable::Align::left}, {"", TextTable::Align::right}, {"of", TextTable::Align::left}});
  auto const row = [&](char const* name, double seconds, char const* what) {
    table.row({name, seconds > 0 ? format_seconds(seconds) : "none found", what});
  };
  row("fixed", costs.fixed_s, "a merge, however small");
  row("o", costs.message_s, "a message to another host");
  row("G", costs.byte_s, "a byte to another host");
  row("L here", costs.local_way_s, "the way of a message on one host");
  row("G here", costs.local_byte_s, "a byte on one host");
  row("add", costs.number_s, "a count that is added, of integer keys");
  row("key", costs.key_s, "a text key in a rank's table");
  row("uncached", costs.uncached_s, "the same, each time the table doubles beyond 32,768 keys");
  row("other's key", costs.others_key_s, "a text key that is another rank's: packed there, counted here");
  return table.str(kTextWidth);
}

std::string merge_model_table(MergeModel const& model, std::vector<Checked> const& checked,
                              Outlook const& outlook) {
  std::string out = costs_text(model.costs()) + "\n";
  TextTable measured({{"merge", TextTable::Align::left},
                      {"way"},
                      {"measured"},
                      {"95%"},
                      {"predicted"},
                      {"off"},
                      {"", TextTable::Align::left}});
  for (Checked const& one : checked) {
    MeasuredMerge const& m = *one.merge;
    measured.row({m.name, m.point.remote ? format_seconds(m.point.way_s) : "", format_seconds(m.median_s),
                  "[" + format_seconds(m.low_s) + ", " + format_seconds(m.high_s) + "]",
                  format_seconds(one.predicted_s), signed_percent(one.off()),
                  one.fitted ? "" : "not fitted"});
  }
  out += measured.str(kTextWidth);
  out += "\n" + std::to_string(checked.size()) + " merges, at most " + format_percent(worst_of(checked), 0) +
         " off; nine of ten that are left out of the fit are within a factor of " +
         format_fixed(model.typical_factor(), 2) + "\n\n";
  TextTable table({{"keys", TextTable::Align::left}, {""}, {"hosts"}, {"merging"}, {"90%"}});
  for (Predicted const& p : outlook.predicted)
    table.row({std::string(name_of(p.point.kind)), format_scaled(static_cast<double>(p.point.keys)),
               std::to_string(p.point.ranks), format_seconds(p.seconds),
               "[" + format_seconds(p.seconds / model.typical_factor()) + ", " +
                   format_seconds(p.seconds * model.typical_factor()) + "]"});
  out += table.str(kTextWidth);
  if (!outlook.counting) return out;
  out += "\nmerging takes as long as counting, by hosts that count " +
         format_scaled(outlook.counting->events_per_second) + " events/s each, " +
         format_scaled(outlook.counting->events) + " events in all or of each host\n\n";
  TextTable passing({{"keys", TextTable::Align::left}, {""}, {"in all"}, {"of each"}});
  for (Passing const& p : outlook.passing)
    passing.row({std::string(name_of(p.point.kind)), format_scaled(static_cast<double>(p.point.keys)),
                 hosts_or_more(p.strong), hosts_or_more(p.weak)});
  return out + passing.str(kTextWidth);
}

Json merge_model_json(MergeModel const& model, std::vector<Checked> const& checked, Outlook const& outlook) {
  MergeCosts const& c = model.costs();
  Json result;
  result["costs"] = {{"fixed_s", c.fixed_s},
                     {"message_s", c.message_s},
                     {"byte_s", c.byte_s},
                     {"local_way_s", c.local_way_s},
                     {"local_byte_s", c.local_byte_s},
                     {"number_s", c.number_s},
                     {"key_s", c.key_s},
                     {"uncached_s", c.uncached_s},
                     {"others_key_s", c.others_key_s}};
  result["typical_factor"] = model.typical_factor();
  result["worst_off"] = worst_of(checked);
  result["merges"] = Json::array();
  for (Checked const& one : checked) {
    MeasuredMerge const& m = *one.merge;
    result["merges"].push_back({{"path", m.path},
                                {"name", m.name},
                                {"kind", name_of(m.point.kind)},
                                {"keys", m.point.keys},
                                {"ranks", m.point.ranks},
                                {"remote", m.point.remote},
                                {"disjoint", m.point.disjoint},
                                {"way_s", m.point.way_s},
                                {"ranks_per_cpu", m.point.ranks_per_cpu},
                                {"measured_s", m.median_s},
                                {"low_s", m.low_s},
                                {"high_s", m.high_s},
                                {"predicted_s", one.predicted_s},
                                {"off", one.off()},
                                {"fitted", one.fitted}});
  }
  result["predictions"] = Json::array();
  for (Predicted const& p : outlook.predicted)
    result["predictions"].push_back({{"kind", name_of(p.point.kind)},
                                     {"keys", p.point.keys},
                                     {"hosts", p.point.ranks},
                                     {"way_s", p.point.way_s},
                                     {"merge_s", p.seconds}});
  if (!outlook.counting) return result;
  result["passing"] = Json::array();
  auto const number = [](int hosts) { return hosts == 0 ? Json() : Json(hosts); };
  for (Passing const& p : outlook.passing)
    result["passing"].push_back({{"kind", name_of(p.point.kind)},
                                 {"keys", p.point.keys},
                                 {"events", outlook.counting->events},
                                 {"events_per_second", outlook.counting->events_per_second},
                                 {"strong_hosts", number(p.strong)},
                                 {"weak_hosts", number(p.weak)}});
  return result;
}

}  // namespace

int merge_model_command(Arguments const& arguments) {
  ArgumentParser parser(
      "tally merge-model",
      "What merging over the ranks of an MPI job takes: costs of messages, bytes and keys (LogGP) are fitted "
      "to merges that 'tally-mpi merge' measured, held against each of them, and used for numbers of hosts "
      "that nobody measured, each host with one rank and a CPU for it.");
  auto const& from = parser.option("--from", "MERGE.json,..", "files of 'tally-mpi merge --out' to fit to");
  auto const& checks =
      parser.option("--check", "MERGE.json,..", "others that the fit does not see, to hold it against");
  auto const& hosts = parser.option("--hosts", "N,..", "hosts to predict for (default 10,100,1k,10k)");
  auto const& keys = parser.option("--keys", "N,..", "different keys (default 1k,32k,1M,16M)");
  auto const& key_bytes = parser.option("--key-bytes", "N", "mean length of text keys (default 16)");
  auto const& round_trip = parser.option(
      "--round-trip", "D", "of a small message between hosts (default: the shortest in the files)");
  auto const& events = parser.option("--events", "N", "that are counted before (default 1G)");
  auto const& rate = parser.option(
      "--rate", "N",
      "events/s that a host counts: says with how many hosts merging takes as long as counting");
  bool const& json = parser.flag("--json", "as JSON");
  parser.parse(arguments);
  if (!from) throw UsageError(std::string("--from MERGE.json: there is nothing to fit to; ") + kMergeFirst);
  auto const measured = read_merges("--from", from);
  auto const others = read_merges("--check", checks);
  std::optional<MergeModel> fitted;
  try {
    fitted.emplace(measured);
  } catch (std::invalid_argument const& few) {
    throw UsageError(std::string("--from: ") + few.what() + "; " + kMergeFirst);
  }
  MergeModel const& model = *fitted;
  Outlook outlook;
  if (events && !rate) throw UsageError("--events is of hosts that count: add --rate N, or leave it out");
  constexpr std::uint64_t kMostEvents = 1'000'000'000'000'000;
  if (rate)
    outlook.counting = Counting{
        static_cast<double>(events ? parse_count("--events", *events, 1, kMostEvents) : 1'000'000'000),
        static_cast<double>(parse_count("--rate", *rate, 1, kMostEvents))};
  MergePoint point;
  point.key_bytes =
      key_bytes ? static_cast<double>(parse_count("--key-bytes", *key_bytes, 1, 1'000'000)) : 16;
  point.way_s = round_trip
                    ? std::chrono::duration<double>(parse_duration("--round-trip", *round_trip)).count() / 2
                    : model.shortest_way_s();
  for (KeyKind const kind : {KeyKind::dense, KeyKind::text}) {
    if (!model.knows_hosts()) break;
    point.kind = kind;
    for (auto const& number : split_list("--keys", keys.value_or("1k,32k,1M,16M"))) {
      point.keys = parse_count("--keys", number, 1, 1'000'000'000);
      for (auto const& many : split_list("--hosts", hosts.value_or("10,100,1k,10k"))) {
        point.ranks = static_cast<int>(parse_count("--hosts", many, 1, kMostHosts));
        outlook.predicted.push_back({point, model.predict_s(point)});
      }
      if (outlook.counting) outlook.passing.push_back(passing(point, *outlook.counting, model));
    }
  }
  auto const checked = check(model, others);
  write_output(json ? merge_model_json(model, checked, outlook).dump(2) + "\n"
                    : merge_model_table(model, checked, outlook));
  return 0;
}

}  // namespace tally
