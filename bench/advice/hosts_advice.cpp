#include "bench/advice/hosts_advice.hpp"

#include "bench/base/json.hpp"
#include "bench/base/text_table.hpp"
#include "bench/base/units.hpp"

namespace tally {
namespace {

std::string spell_keys(MergePoint const& merge) {
  std::string const keys = format_scaled(static_cast<double>(merge.keys));
  return merge.kind == KeyKind::dense ? keys + " integer keys"
                                      : keys + " text keys of " + format_fixed(merge.key_bytes, 0) + " bytes";
}

}  // namespace

std::vector<HostsAdvice> advise_hosts(Advice const& advice, HostsQuestion const& question,
                                      MergeModel const& model) {
  std::vector<HostsAdvice> result;
  MergePoint merge = question.merge;
  merge.ranks = question.hosts;
  double const merge_s = model.predict_s(merge), factor = model.typical_factor();
  for (ModelAdvice const& m : advice.models) {
    if (!m.prediction || m.rank == 0) continue;
    Hosts const hosts{question.merge, question.events, m.prediction->items_per_second};
    auto const rate = [&](double items_per_second, double off) {
      return question.events / (question.events / items_per_second / question.hosts + merge_s * off);
    };
    result.push_back({m.model, hosts.count_s(question.hosts), merge_s, rate(hosts.events_per_second, 1),
                      rate(m.prediction->low, factor), rate(m.prediction->high, 1 / factor),
                      merging_passes_counting(hosts, model, kMostHosts)});
  }
  return result;
}

std::string hosts_table(HostsQuestion const& question, std::vector<HostsAdvice> const& advice) {
  std::string out = "\non " + std::to_string(question.hosts) + " hosts, " + format_scaled(question.events) +
                    " events in all, " + spell_keys(question.merge) + ", messages that take " +
                    format_seconds(question.merge.way_s) + " each way\n\n";
  TextTable table({{"model", TextTable::Align::left},
                   {"events/s"},
                   {"90%"},
                   {"counting"},
                   {"merging"},
                   {"of it"},
                   {"merging passes counting", TextTable::Align::left}});
  for (HostsAdvice const& one : advice)
    table.row({one.model, format_scaled(one.items_per_second),
               "[" + format_scaled(one.low) + ", " + format_scaled(one.high) + "]",
               format_seconds(one.count_s), format_seconds(one.merge_s),
               format_percent(one.merge_s / (one.count_s + one.merge_s), 1),
               one.merging_passes == 0 ? "with no number of hosts up to " + std::to_string(kMostHosts)
                                       : "with " + std::to_string(one.merging_passes) + " hosts"});
  return out + table.str(kTextWidth);
}

Json hosts_json(HostsQuestion const& question, std::vector<HostsAdvice> const& advice) {
  Json models = Json::array();
  for (HostsAdvice const& one : advice) {
    Json row{{"model", one.model},     {"items_per_second", one.items_per_second},
             {"low", one.low},         {"high", one.high},
             {"count_s", one.count_s}, {"merge_s", one.merge_s}};
    row["merging_passes_counting_at_hosts"] = one.merging_passes == 0 ? Json() : Json(one.merging_passes);
    models.push_back(std::move(row));
  }
  return {
      {"hosts", question.hosts},     {"events", question.events},     {"kind", name_of(question.merge.kind)},
      {"keys", question.merge.keys}, {"way_s", question.merge.way_s}, {"models", models}};
}

}  // namespace tally
