#include "mpi/merge_command.hpp"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/argument_parser.hpp"
#include "bench/atomic_file.hpp"
#include "bench/limits.hpp"
#include "bench/manifest.hpp"
#include "bench/merge_model.hpp"
#include "bench/statistics.hpp"
#include "bench/text_table.hpp"
#include "bench/units.hpp"
#include "mpi/agreement.hpp"
#include "mpi/common_start.hpp"
#include "mpi/job.hpp"
#include "mpi/merge.hpp"
#include "mpi/rank_streams.hpp"
#include "workloads/random.hpp"

namespace tally {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr std::size_t kWidth = 110;
constexpr std::chrono::minutes kRoundWithin{5};
constexpr int kDefaultRounds = 11;
constexpr std::uint64_t kMostKeys = 16u << 20;
constexpr std::array<std::pair<std::string_view, KeyKind>, 2> kKinds{
    {{"dense", KeyKind::dense}, {"text", KeyKind::text}}};

struct Options {
  std::vector<KeyKind> kinds;
  std::vector<std::uint64_t> keys;
  std::vector<int> ranks;
  bool disjoint = false;
  bool one_process = true;
  int rounds = kDefaultRounds;
  std::string out;
};

Options parse(Arguments const& arguments, int job_ranks) {
  ArgumentParser parser("tally-mpi merge",
                        "Merges tallies over the ranks of an MPI job, and the same tallies in one process.");
  auto& kind = parser.option("--kind", "K,..", "dense, text (default: both)");
  auto& keys = parser.option("--keys", "N,..", "different keys of all ranks together (default: 1k,32k,1M)");
  auto& ranks = parser.option("--ranks", "N,..", "how many ranks, the first so many (default: all)");
  bool& disjoint =
      parser.flag("--disjoint", "each rank has keys of its own (default: every rank has all keys)");
  bool& alone = parser.flag("--no-one-process", "leave the merging in one process out");
  auto& rounds = parser.option(
      "--rounds", "N",
      "how often, after once that is not counted (default " + std::to_string(kDefaultRounds) + ")");
  auto& out = parser.option("--out", "FILE.json", "write the results here");
  parser.parse(arguments);
  Options options;
  for (auto const& item : split_list("--kind", kind.value_or("dense,text")))
    options.kinds.push_back(choose("--kind", item, kKinds));
  for (auto const& item : split_list("--keys", keys.value_or("1k,32k,1M")))
    options.keys.push_back(parse_count("--keys", item, 1, kMostKeys));
  for (auto const& item : split_list("--ranks", ranks.value_or(std::to_string(job_ranks))))
    options.ranks.push_back(
        static_cast<int>(parse_count("--ranks", item, 1, static_cast<std::uint64_t>(job_ranks))));
  options.disjoint = disjoint;
  options.one_process = !alone;
  if (rounds) options.rounds = static_cast<int>(parse_count("--rounds", *rounds, 1, 100'000));
  options.out = out.value_or("");
  return options;
}

/// A number of a cell's parameters, for which there is a time in each round.
struct MergeCell {
  KeyKind kind;
  std::uint64_t keys;
  int ranks;
  int hosts = 1;
  double ranks_per_cpu = 1;
  std::vector<double> over_ranks_s{}, one_process_s{}, round_trip_s{};
  std::uint64_t sent_bytes = 0;

  std::string name() const {
    return std::string("merge/") + std::string(name_of(kind)) + "/keys:" + std::to_string(keys) +
           "/ranks:" + std::to_string(ranks) + "/hosts:" + std::to_string(hosts);
  }
};

/// What a rank of `ranks` has counted: of text, keys of 16 bytes, which stand in its table in no order of
/// theirs.
Counts tally_of(MergeCell const& cell, bool disjoint, int rank) {
  std::uint64_t const begin = disjoint ? share_begin(cell.keys, rank, cell.ranks) : 0;
  std::uint64_t const end = disjoint ? share_begin(cell.keys, rank + 1, cell.ranks) : cell.keys;
  if (cell.kind == KeyKind::dense) {
    Counts counts = Counts::dense(static_cast<std::uint32_t>(cell.keys));
    auto* const row = counts.dense_row(0);
    for (std::uint64_t key = begin; key < end; ++key) row[key] = 1 + key % 3;
    counts.events = std::accumulate(row, row + cell.keys, std::uint64_t{0});
    return counts;
  }
  Counts counts = Counts::text();
  TextMap& map = counts.text_window(0);
  std::array<char, 16> text;
  for (std::uint64_t key = begin; key < end; ++key) {
    std::uint64_t bits = mix64(key + 1);
    for (char& c : text) {
      c = "0123456789abcdef"[bits & 15];
      bits >>= 4;
    }
    std::string_view const view(text.data(), text.size());
    counts.count_of_copied(map, view, TextHash{}(view)) += 1 + key % 3;
    counts.events += 1 + key % 3;
  }
  return counts;
}

std::uint64_t sum_of(Counts& counts) {
  std::uint64_t sum = 0;
  if (counts.kind() == KeyKind::dense) {
    if (auto const* const row = counts.dense_row_if(0)) sum = std::accumulate(row, row + counts.keys(), sum);
    return sum;
  }
  counts.each_text_window([&](std::int64_t, TextMap const& map) {
    for (auto const& [key, count] : map) sum += count;
  });
  return sum;
}

/// Of all ranks, what they merged must be what they had.
void check_sum(Counts& merged, Communicator const& ranks, std::uint64_t expected, Patience const& patience) {
  std::uint64_t const sum = ranks.all_sum(sum_of(merged), patience, "checking what was merged");
  if (sum != expected)
    throw std::logic_error("merging gave " + std::to_string(sum) + " events of " + std::to_string(expected));
}

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

struct Merged {
  double took_s = 0;
  double round_trip_s = 0;  ///< at rank 0
};

Merged merge_over(MergeCell& cell, bool disjoint, Communicator const& ranks,
                  std::vector<std::string> const& hosts, Patience const& sleeping) {
  Patience patience = sleeping;
  patience.sleeping = false;
  Counts counts = tally_of(cell, disjoint, ranks.rank());
  std::uint64_t const expected = ranks.all_sum(counts.events, patience, "how many there are to merge");
  CommonStart const common(ranks, hosts, patience);
  common.wait(ranks, patience);
  auto const began = Clock::now();
  auto const figures = merge_over_ranks(counts, 1, ranks, patience);
  auto const took = static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - began).count());
  std::uint64_t const slowest = ranks.all_max(took, patience, "which rank was the slowest");
  cell.sent_bytes = ranks.all_sum(figures.sent_bytes, patience, "how much was sent");
  check_sum(counts, ranks, expected, patience);
  return {static_cast<double>(slowest) * 1e-9, seconds(common.round_trip())};
}

double merge_here(MergeCell const& cell, bool disjoint) {
  std::vector<Counts> tallies;
  std::uint64_t expected = 0;
  for (int r = 0; r < cell.ranks; ++r) {
    tallies.push_back(tally_of(cell, disjoint, r));
    expected += tallies.back().events;
  }
  auto const began = Clock::now();
  for (std::size_t i = 1; i < tallies.size(); ++i) tallies[0].merge(std::move(tallies[i]));
  double const took_s = seconds(Clock::now() - began);
  if (sum_of(tallies[0]) != expected) throw std::logic_error("merging in one process lost events");
  return took_s;
}

std::string table_of(std::vector<MergeCell> const& cells, Options const& options) {
  using enum TextTable::Align;
  TextTable table({{"keys", left},
                   {"", right},
                   {"ranks", right},
                   {"hosts", right},
                   {"over ranks", right},
                   {"95%", right},
                   {"in one process", right},
                   {"ratio", right},
                   {"sent", right}});
  for (MergeCell const& cell : cells) {
    Interval const over = median_interval(cell.over_ranks_s);
    std::string alone, ratio;
    if (!cell.one_process_s.empty()) {
      alone = format_seconds(median_interval(cell.one_process_s).median);
      std::vector<double> ratios;
      for (std::size_t i = 0; i < cell.one_process_s.size(); ++i)
        ratios.push_back(cell.over_ranks_s[i] / cell.one_process_s[i]);
      ratio = format_fixed(median_interval(ratios).median, 2) + "x";
    }
    table.row({std::string(name_of(cell.kind)), format_scaled(static_cast<double>(cell.keys)),
               std::to_string(cell.ranks), std::to_string(cell.hosts), format_seconds(over.median),
               over.holds() ? "\u00b1" + format_percent(over.relative_half_width(), 1)
                            : "n=" + std::to_string(over.n),
               alone, ratio, format_bytes(static_cast<double>(cell.sent_bytes))});
  }
  return std::string("merging, ") +
         (options.disjoint ? "each rank with keys of its own" : "every rank with all keys") + "\n" +
         table.str(kWidth);
}

void write_results(std::vector<MergeCell> const& cells, Options const& options, Job const& job,
                   Arguments const& arguments) {
  Json context = describe_program();
  context["command_line"] = {"tally-mpi", "merge"};
  for (std::string const& argument : arguments) context["command_line"].push_back(argument);
  context["disjoint"] = options.disjoint;
  context["host_of_rank"] = job.hosts;
  context["oversubscribed"] = job.shares_cpus;
  Json entries = Json::array();
  for (MergeCell const& cell : cells) {
    for (std::size_t i = 0; i < cell.over_ranks_s.size(); ++i) {
      Json entry{{"name", cell.name()},
                 {"run_name", cell.name()},
                 {"run_type", "iteration"},
                 {"repetition_index", i},
                 {"iterations", 1},
                 {"real_time", cell.over_ranks_s[i] * 1e3},
                 {"cpu_time", cell.over_ranks_s[i] * 1e3},
                 {"time_unit", "ms"},
                 {"items_per_second", static_cast<double>(cell.keys) / cell.over_ranks_s[i]},
                 {"verified", true},
                 {"round", i},
                 {"kind", name_of(cell.kind)},
                 {"keys", cell.keys},
                 {"ranks", cell.ranks},
                 {"hosts", cell.hosts},
                 {"ranks_per_cpu", cell.ranks_per_cpu},
                 {"round_trip_s", cell.round_trip_s[i]},
                 {"disjoint", options.disjoint},
                 {"sent_bytes", cell.sent_bytes}};
      if (i < cell.one_process_s.size()) entry["one_process_s"] = cell.one_process_s[i];
      entries.push_back(std::move(entry));
    }
  }
  write_whole(options.out,
              Json{{"context", std::move(context)}, {"benchmarks", std::move(entries)}}.dump(1) + "\n");
}

}  // namespace

int merge_command(Arguments const& arguments, RankWatch& watch) {
  auto const world = Communicator::world();
  bool const leads = world.rank() == 0;
  StopSignals stop;
  auto const patience = [&stop] { return Patience::for_at_most(kRoundWithin, &stop); };
  try {
    Options const options = parse(arguments, world.size());
    Job const job = join_job(world, watch, patience());
    all_or_none(world, job.hosts, patience(), [&] {
      if (leads && !options.out.empty()) check_output_file("--out", options.out);
    });
    std::map<int, Communicator> groups;
    for (int const n : options.ranks)
      if (!groups.contains(n)) groups.emplace(n, world.first(n));
    std::vector<MergeCell> cells;
    for (KeyKind const kind : options.kinds)
      for (std::uint64_t const keys : options.keys)
        for (int const ranks : options.ranks) {
          std::set<std::string> const hosts(job.hosts.begin(), job.hosts.begin() + ranks);
          cells.push_back({kind, keys, ranks, static_cast<int>(hosts.size()), job.ranks_per_cpu(ranks)});
        }
    // One more than is asked for: the first opens connections, and finds how fast they may be.
    for (int round = -1; round < options.rounds; ++round) {
      for (MergeCell& cell : cells) {
        Communicator const& ranks = groups.at(cell.ranks);
        if (!ranks.empty()) {
          std::vector<std::string> const hosts(job.hosts.begin(), job.hosts.begin() + cell.ranks);
          Merged const merged = merge_over(cell, options.disjoint, ranks, hosts, patience());
          if (round >= 0) {
            cell.over_ranks_s.push_back(merged.took_s);
            cell.round_trip_s.push_back(merged.round_trip_s);
          }
        }
        if (leads && options.one_process && cell.ranks > 1 && round >= 0)
          cell.one_process_s.push_back(merge_here(cell, options.disjoint));
        ::malloc_trim(0);
        world.barrier(patience(), "the end of a round");
      }
    }
    if (!leads) return 0;
    write_output(table_of(cells, options));
    if (!options.out.empty()) write_results(cells, options, job, arguments);
    return 0;
  } catch (HelpRequested const& help) {
    if (leads) write_output(help.text);
    return 0;
  } catch (RankFailed const& failed) {
    if (leads) complain(failed.what());
    return failed.usage ? 2 : 1;
  } catch (UsageError const& wrong) {
    if (leads) complain(wrong.what());
    return 2;
  }
}

}  // namespace tally
