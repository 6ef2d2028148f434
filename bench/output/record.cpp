#include "bench/output/record.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <string_view>

#include "bench/analysis/campaign_result.hpp"
#include "bench/analysis/sample.hpp"
#include "bench/base/atomic_file.hpp"
#include "bench/base/json.hpp"
#include "bench/base/sha256.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/parameter_table.hpp"
#include "bench/services/service_process.hpp"
#include "workloads/base/clock.hpp"

namespace tally {
namespace {

double in_ms(std::chrono::nanoseconds d) { return std::chrono::duration<double, std::milli>(d).count(); }

/// A number, or why there is none.
void put(Json& entry, std::string const& key, std::optional<double> value, char const* reason) {
  if (value && std::isfinite(*value))
    entry[key] = *value;
  else
    entry[key + "_absent"] = value ? "not finite" : reason;
}

void put(Json& entry, std::string const& key, std::optional<Interval> const& interval, char const* reason) {
  put(entry, key, interval ? std::optional(interval->median) : std::nullopt, reason);
  if (!interval) return;
  put(entry, key + "_low", interval->low, reason);
  put(entry, key + "_high", interval->high, reason);
}

constexpr std::pair<std::string_view, double> kPercentiles[] = {
    {"p50", 50}, {"p90", 90}, {"p95", 95}, {"p99", 99}, {"p999", 99.9}};

constexpr char kNoBound[] =
    "no bound is known: neither grain nor wait, nor a stream longer than caches on all CPUs";
constexpr char kNoLimit[] = "`limit` was not measured in this cell's group, or the cell is at a rate";
constexpr char kNoService[] = "not on the embedded lookup service";
constexpr char kNoServiceCpu[] = "neither the embedded lookup service nor a Redis database";

/// What every entry of a cell begins with.
Json entry_of(CampaignResult const& result, std::size_t index, std::string const& suffix,
              char const* run_type) {
  CellResult const& cell = result.cells[index];
  std::string const name = cell.cell.name();
  return {{"name", name + suffix}, {"family_index", index}, {"per_family_instance_index", 0},
          {"run_name", name},      {"run_type", run_type},  {"repetitions", cell.samples.size()}};
}

void put_cell(Json& entry, Cell const& cell) {
  entry["model"] = cell.model->name;
  if (cell.model->external != nullptr) entry["external"] = true;
  record(entry, cell);
  entry["events"] = cell.events;
}

constexpr char kNotStamped[] = "at no rate, so that nothing is due at any time";
constexpr char kSaturated[] = "saturated: the cell fell behind the rate that was offered";

void put_latencies(Json& entry, std::string const& key, LatencyFigures const& figures, char const* absent) {
  auto const figure = [&](double value) { return absent == nullptr ? std::optional(value) : std::nullopt; };
  put(entry, key + "_p50_s", figure(figures.p50_s), absent);
  put(entry, key + "_p90_s", figure(figures.p90_s), absent);
  put(entry, key + "_p99_s", figure(figures.p99_s), absent);
  put(entry, key + "_p999_s", figure(figures.p999_s), absent);
  put(entry, key + "_max_s", figure(figures.greatest_s), absent);
}

/// What the load generator did in a sample.
void put_load(Json& entry, CellResult const& cell, LoadFigures const& load) {
  bool const rated = cell.cell.rate_per_s > 0;
  entry["offered_per_s"] = load.offered_per_s;
  entry["achieved_per_s"] = load.achieved_per_s;
  put(entry, "send_late_p99_s", rated ? std::optional(load.late_p99_s) : std::nullopt, kNotStamped);
  put(entry, "send_late_max_s", rated ? std::optional(load.late_greatest_s) : std::nullopt, kNotStamped);
  entry["sent_bytes"] = load.bytes;
  entry["sends"] = load.sends;
  entry["send_waits"] = load.waits;
  entry["generator_cpu_s"] = load.generator_cpu_s;
  char const* const absent = !rated ? kNotStamped : is_saturated(cell) ? kSaturated : nullptr;
  put_latencies(entry, "latency", load.corrected, absent);
  put_latencies(entry, "latency_uncorrected", load.uncorrected, absent);
}

/// The latencies of all samples together: percentiles, those of them that too few latencies stand behind, and
/// the histogram itself.
Json latency_of(LatencyHistogram const& latencies) {
  Json json;
  json["count"] = latencies.total();
  Json too_few = Json::array();
  for (auto const& [name, percent] : kPercentiles) {
    json[std::string(name) + "_s"] = in_seconds(latencies.at_percentile(percent));
    if (latencies.total() < latencies_needed(percent)) too_few.push_back(name);
  }
  json["max_s"] = in_seconds(latencies.greatest());
  json["mean_s"] = latencies.mean_ns() * 1e-9;
  json["too_few_for"] = std::move(too_few);
  Json parts = Json::array();
  for (std::size_t i = 0; i < LatencyHistogram::kParts; ++i)
    if (latencies.count(i) != 0) parts.push_back({LatencyHistogram::greatest_ns(i), latencies.count(i)});
  json["histogram_ns"] = std::move(parts);
  return json;
}

/// Indented JSON with every array of numbers, or of such arrays, on one line: a histogram has thousands of
/// them, of which a line each would make most of the file.
std::string numbers_on_a_line(std::string_view json) {
  constexpr std::string_view kOfNumbers = "[]0123456789.,+-eE \n";
  std::string out;
  out.reserve(json.size());
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    char const c = json[i];
    out += c;
    if (in_string && c == '\\') out += json[++i];
    if (c == '"') in_string = !in_string;
    if (in_string || c != '[') continue;
    std::size_t end = i;
    for (int depth = 0; end < json.size() && kOfNumbers.find(json[end]) != std::string_view::npos; ++end) {
      depth += (json[end] == '[') - (json[end] == ']');
      if (depth == 0) break;
    }
    if (end == json.size() || json[end] != ']') continue;
    while (++i <= end) {
      if (json[i] == ' ' || json[i] == '\n') continue;
      out += json[i];
      if (json[i] == ',') out += ' ';
    }
    i = end;
  }
  return out;
}

/// What ranks did in a sample, each for itself.
void put_team(Json& entry, TeamFigures const& team) {
  entry["count_s"] = in_seconds(team.count);
  entry["merge_s"] = in_seconds(team.merge);
  entry["imbalance"] = team.imbalance;
  entry["merged_bytes"] = team.merged_bytes;
  entry["start_late_s"] = in_seconds(team.start_late);
  Json ranks = Json::array();
  for (std::size_t r = 0; r < team.ranks.size(); ++r) {
    RankFigures const& rank = team.ranks[r];
    ranks.push_back({{"rank", r},
                     {"host", rank.host},
                     {"cpus", rank.cpus},
                     {"events", rank.events},
                     {"count_s", in_seconds(rank.count)},
                     {"merge_s", in_seconds(rank.merge)},
                     {"cpu_s", rank.cpu_s},
                     {"peak_rss_bytes", rank.peak_rss_bytes}});
  }
  entry["per_rank"] = std::move(ranks);
}

void put_figures(Json& entry, CampaignResult const& result, std::size_t index, Sample const& s) {
  bool const lookup = looks_up(result.cells[index].cell);
  entry["real_time"] = in_ms(s.elapsed);
  entry["cpu_time"] = (s.user_s + s.sys_s) * 1e3;
  entry["time_unit"] = "ms";
  put(entry, "items_per_second", s.items_per_second(), "");
  entry["startup_s"] = in_seconds(s.startup);
  entry["teardown_s"] = in_seconds(s.teardown);
  entry["cpu_s"] = s.user_s + s.sys_s;
  entry["user_s"] = s.user_s;
  entry["sys_s"] = s.sys_s;
  entry["peak_rss_bytes"] = s.peak_rss_bytes;
  entry["ctx_voluntary"] = s.ctx_voluntary;
  entry["ctx_involuntary"] = s.ctx_involuntary;
  auto const bound = result.bound(index, s.round);
  put(entry, "bound_items_per_second", bound ? std::optional(bound->items_per_second) : std::nullopt,
      kNoBound);
  put(entry, "efficiency",
      bound ? std::optional(s.items_per_second() / bound->items_per_second) : std::nullopt, kNoBound);
  entry["workers_ran"] = s.workers_ran;
  entry["events_counted"] = s.events;
  entry["tasks"] = s.tasks;
  if (s.malformed > 0) entry["malformed"] = s.malformed;
  if (s.load) put_load(entry, result.cells[index], *s.load);
  if (s.team) put_team(entry, *s.team);
  if (!lookup) return;
  entry["replies"] = s.replies;
  put(entry, "service_cpu_s", s.service_cpu_s, kNoServiceCpu);
  put(entry, "service_busy_s", s.service_busy_s, kNoServiceCpu);
  put(entry, "reply_late_p99_s", s.reply_late_p99_s, kNoService);
}

Json sample_entry(CampaignResult const& result, std::size_t index, std::size_t repetition) {
  CellResult const& cell = result.cells[index];
  Sample const& s = cell.samples[repetition];
  Json entry = entry_of(result, index, "", "iteration");
  entry["repetition_index"] = repetition;
  entry["threads"] = cell.cell.workers;
  entry["iterations"] = 1;
  put_cell(entry, cell.cell);
  entry["round"] = s.round;
  entry["order"] = s.order;
  entry["started_s"] = s.started_s;
  entry["verified"] = s.failure.empty();
  if (cell.failure.empty()) {
    put_figures(entry, result, index, s);
  } else {
    entry["error_occurred"] = true;
    // A failed cell has no figures: those of its samples before the failure are withheld.
    entry["error_message"] =
        s.failure.empty() ? "withheld, since another sample of this cell failed: " + cell.failure : s.failure;
  }
  return entry;
}

/// The sequential cell that `index` is compared with.
std::optional<std::size_t> sequential_of(CampaignResult const& result, std::size_t index) {
  for (Group const& group : result.plan.groups) {
    if (std::find(group.cells.begin(), group.cells.end(), index) == group.cells.end()) continue;
    for (std::size_t const other : group.cells)
      if (result.cells[other].cell.model->sequential) return other;
  }
  return std::nullopt;
}

/// What the comparison with the other build says, on the median of this build's cell.
void put_pair(Json& entry, CampaignResult const& result, Pair const& pair) {
  auto const ratio = result.ratio_of(pair);
  put(entry, "ratio_to_against", ratio, "the two builds have no round in common");
  if (!ratio) return;
  entry["ratio_to_against_rounds"] = ratio->n;
  entry["ratio_to_against_confidence"] = ratio->confidence;
  entry["ratio_to_against_coverage"] = ratio->coverage;
  entry["verdict_against"] = name(verdict(*ratio));
}

/// What is said once of a cell, on its median: interval, convergence, efficiency and ratio.
void put_summary(Json& entry, CampaignResult const& result, std::size_t index) {
  CellResult const& cell = result.cells[index];
  Interval const rate = *cell.throughput();
  put(entry, "items_per_second_low", rate.low, "");
  put(entry, "items_per_second_high", rate.high, "");
  entry["interval_coverage"] = rate.coverage;
  Interval const claim = result.claimed(rate);
  // No reason to leave them out but this one: what is not finite says so itself.
  constexpr char kShared[] = "ranks shared CPUs: nothing is claimed";
  bool const claims = !result.ranks_share_cpus;
  put(entry, "claimed_low", claims ? std::optional(claim.low) : std::nullopt, kShared);
  put(entry, "claimed_high", claims ? std::optional(claim.high) : std::nullopt, kShared);
  put(entry, "relative_half_width", rate.relative_half_width(), "");
  entry["closed"] = name(cell.closed);
  entry["converged"] = result.converged(index);
  std::vector<double> rates;
  for (Sample const& s : cell.samples) rates.push_back(s.items_per_second());
  entry["outliers"] = count_outliers(rates);
  put(entry, "efficiency", result.efficiency(index), kNoBound);
  auto const bound = result.bound(index);
  put(entry, "bound_items_per_second", bound ? std::optional(bound->items_per_second) : std::nullopt,
      kNoBound);
  put(entry, "of_limit", result.of_limit(index), kNoLimit);
  if (cell.drawn_waits) entry["luck_of_waits"] = cell.luck_of_waits();
  std::string_view const limit = result.limited_by(cell);
  entry["limited_by"] = limit.empty() ? "none of what was measured" : limit;
  if (limit == "service" || is_saturated(cell)) entry["saturated"] = true;
  if (cell.cell.rate_per_s > 0) {
    if (is_saturated(cell)) {
      entry["latency_absent"] = kSaturated;
    } else if (cell.corrected && cell.uncorrected) {
      entry["latency"] = latency_of(*cell.corrected);
      entry["latency_uncorrected"] = latency_of(*cell.uncorrected);
    }
  }
  put(entry, "memory_share", result.memory_share(cell),
      "the stream is not in memory, or ran on fewer CPUs than the reference computation");
  auto const base = sequential_of(result, index);
  bool const at_rate = cell.cell.rate_per_s > 0;
  put(entry, "ratio_to_sequential", base && !at_rate ? result.ratio(index, *base) : std::nullopt,
      at_rate ? "at a rate, throughput is what was offered"
              : "sequential was not measured in this cell's rounds");
  if (Pair const* const pair = result.plan.pair_of(index); pair && pair->here == index)
    put_pair(entry, result, *pair);
  if (!cell.lateness.empty()) {
    std::uint64_t replies = 0;
    for (std::uint64_t const n : cell.lateness) replies += n;
    put(entry, "reply_late_p99_s", lateness_p99_s(cell.lateness), "no reply");
    // MLPerf's number of samples behind a 99th percentile with 99% confidence.
    constexpr std::uint64_t kEnough = 270'336;
    entry["reply_late_replies"] = replies;
    entry["reply_late_enough_replies"] = replies >= kEnough;
  }
  if (cell.samples.size() < 2) entry["stddev_absent"] = "one sample";
}

Json aggregate_entry(CampaignResult const& result, std::size_t index, Aggregate const& a) {
  CellResult const& cell = result.cells[index];
  Json entry = entry_of(result, index, "_" + a.name, "aggregate");
  entry["threads"] = cell.cell.workers;
  entry["aggregate_name"] = a.name;
  entry["aggregate_unit"] = a.relative ? "percentage" : "time";
  entry["iterations"] = cell.samples.size();
  double const scale = a.relative ? 1 : 1e3;  // to ms
  put(entry, "real_time", a.real_s * scale, "");
  put(entry, "cpu_time", a.cpu_s * scale, "");
  entry["time_unit"] = "ms";
  put(entry, "items_per_second", a.items_per_second, "");
  put(entry, "cpu_s", a.cpu_s, "");
  put(entry, "peak_rss_bytes", a.peak_rss_bytes, "");
  put_cell(entry, cell.cell);
  if (a.name == "median") put_summary(entry, result, index);
  return entry;
}

Json entries(CampaignResult const& result) {
  Json list = Json::array();
  bool const aggregates_only = result.options.benchmark.report_aggregates_only;
  for (std::size_t i = 0; i < result.cells.size(); ++i) {
    auto const summary = aggregates(result.cells[i]);
    if (!aggregates_only || summary.empty())
      for (std::size_t r = 0; r < result.cells[i].samples.size(); ++r)
        list.push_back(sample_entry(result, i, r));
    for (Aggregate const& a : summary) list.push_back(aggregate_entry(result, i, a));
  }
  return list;
}

Json noise_floor_of(CampaignResult const& result) {
  Json floor;
  floor["computation"] = kReferenceText;
  floor["links"] = result.options.reference.links;
  Json samples = Json::array();
  for (ReferenceSample const& s : result.reference)
    samples.push_back({{"round", s.round},
                       {"order", s.order},
                       {"started_s", s.started_s},
                       {"real_time_s", in_seconds(s.elapsed)},
                       {"ctx_involuntary", s.ctx_involuntary},
                       {"links_per_ns", s.links_per_ns},
                       {"links_per_ns_alone", s.links_per_ns_alone},
                       {"read_bytes_per_s", s.read_bytes_per_s},
                       {"hand_off_s", s.hand_off_s}});
  auto const interval = noise_floor(result.reference);
  put(floor, "median_s", interval, "no round");
  put(floor, "relative_half_width", interval ? std::optional(interval->relative_half_width()) : std::nullopt,
      "no round");
  floor["spread"] = spread(result.reference);
  auto const reads = reference_read_bytes_per_s(result.reference);
  put(floor, "read_bytes_per_s", reads ? std::optional(reads->median) : std::nullopt,
      "not measured: too little memory");
  put(floor, "read_relative_half_width", reads ? std::optional(reads->relative_half_width()) : std::nullopt,
      "not measured: too little memory");
  auto const hand_off = reference_hand_off_s(result.reference);
  put(floor, "hand_off_s", hand_off ? std::optional(hand_off->median) : std::nullopt,
      "on one CPU there is none");
  floor["samples"] = std::move(samples);
  return floor;
}

/// The objective, and how each cell's rate was found.
Json slo_of(CampaignResult const& result) {
  Slo const& slo = *result.options.slo;
  Json json{{"percentile", slo.percent}, {"latency_s", in_seconds(slo.latency)}};
  Json searches = Json::array();
  for (CellResult const& cell : result.cells) {
    if (!cell.slo) continue;
    Json search{{"model", cell.cell.model->name}};
    search["cell"] = cell.cell.name();
    put(search, "rate_per_s", cell.slo->rate_per_s, "kept at no rate");
    search["generator_limited"] = cell.slo->generator_limited;
    if (auto const kept = keeps_slo(cell, slo)) search["kept_in_rounds"] = *kept;
    Json probes = Json::array();
    for (SloProbe const& p : cell.slo->probes) {
      Json probe{{"rate_per_s", p.rate_per_s}, {"events", p.events},
                 {"longer", p.longer},         {"kept", p.kept},
                 {"saturated", p.saturated},   {"generator_late", p.generator_late}};
      put(probe, "latency_s", p.latency_s, "the sample failed");
      if (!p.failure.empty()) probe["failure"] = p.failure;
      probes.push_back(std::move(probe));
    }
    search["probes"] = std::move(probes);
    searches.push_back(std::move(search));
  }
  json["searches"] = std::move(searches);
  return json;
}

Json context(CampaignResult const& result) {
  Json c = result.manifest.empty() ? Json::object() : Json::parse(result.manifest);
  c["rounds"] = result.rounds;
  c["took_s"] = in_seconds(result.took);
  c["interrupted"] = result.interrupted;
  if (!result.lost.empty()) c["lost"] = result.lost;
  put(c, "steal_share", result.steal_share, "/proc/stat does not tell");
  c["load_avg_after"] = result.load_after;
  c["other_processes"] = Json::array();
  for (BusyProcess const& other : result.others)
    c["other_processes"].push_back({{"pid", other.pid}, {"name", other.name}, {"cpus", other.cpus}});
  if (result.options.slo) c["slo"] = slo_of(result);
  c["noise_floor"] = noise_floor_of(result);
  c["unfit"] = result.unfit();
  c["notes"] = result.notes;
  for (std::string const& contradiction : result.contradictions()) c["notes"].push_back(contradiction);
  return c;
}

}  // namespace

std::vector<Aggregate> aggregates(CellResult const& cell) {
  if (!cell.throughput()) return {};
  using Statistic = std::function<double(std::vector<double> const&)>;
  auto const over = [&cell](std::string name, bool relative, Statistic const& statistic) {
    std::vector<double> real, cpu, rate, memory;
    for (Sample const& s : cell.samples) {
      real.push_back(in_seconds(s.elapsed));
      cpu.push_back(s.user_s + s.sys_s);
      rate.push_back(s.items_per_second());
      memory.push_back(static_cast<double>(s.peak_rss_bytes));
    }
    return Aggregate{std::move(name), relative,        statistic(real),
                     statistic(cpu),  statistic(rate), statistic(memory)};
  };
  std::vector<Aggregate> all;
  all.push_back(over("median", false, [](auto const& v) { return median_interval(v).median; }));
  all.push_back(over("mean", false, [](auto const& v) { return mean(v); }));
  if (cell.samples.size() < 2) return all;
  all.push_back(over("stddev", false, [](auto const& v) { return *standard_deviation(v); }));
  all.push_back(over("cv", true, [](auto const& v) { return *standard_deviation(v) / mean(v); }));
  return all;
}

std::string record_text(CampaignResult const& result) {
  Json record{{"context", context(result)}, {"benchmarks", entries(result)}};
  auto const text = [&record] { return numbers_on_a_line(record.dump(2)) + "\n"; };
  record["context"]["result_id"] = "";
  record["context"]["result_id"] = sha256(text()).substr(0, 16);
  return text();
}

void write_record(CampaignResult const& result, std::filesystem::path const& path) {
  write_whole(path, record_text(result));
}

}  // namespace tally
