#include "mpi/commands/merge_command.hpp"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/advice/merge_model.hpp"
#include "bench/base/atomic_file.hpp"
#include "bench/base/console.hpp"
#include "bench/base/json.hpp"
#include "bench/base/lists.hpp"
#include "bench/base/statistics.hpp"
#include "bench/base/text_table.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/argument_parser.hpp"
#include "bench/output/manifest.hpp"
#include "mpi/agreement.hpp"
#include "mpi/commands/in_job.hpp"
#include "mpi/common_start.hpp"
#include "mpi/merge.hpp"
#include "mpi/rank_deadline.hpp"
#include "mpi/rank_streams.hpp"
#include "mpi/reference_check.hpp"
#include "workloads/base/clock.hpp"
#include "workloads/base/random.hpp"

namespace tally {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kWidth = 110;
constexpr std::chrono::minutes kSampleTimeout{5};
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
  std::chrono::nanoseconds sample_timeout = kSampleTimeout;
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
  auto& timeout = parser.option(
      "--sample-timeout", "D", "how long one merge may take, making what is merged included (default: 300s)");
  auto& out = parser.option("--out", "FILE.json", "write the results here, after each round");
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
  if (timeout) options.sample_timeout = parse_duration("--sample-timeout", *timeout);
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
  std::vector<double> over_ranks_s{}, one_process_s{}, round_trip_s{}, start_late_s{};
  std::uint64_t sent_bytes = 0;

  std::string name() const {
    return std::string("merge/") + std::string(name_of(kind)) + "/keys:" + std::to_string(keys) +
           "/ranks:" + std::to_string(ranks) + "/hosts:" + std::to_string(hosts);
  }
};

/// Which keys are rank `rank`'s, and how often each is there.
Range keys_of(MergeCell const& cell, bool disjoint, int rank) {
  if (!disjoint) return {0, cell.keys};
  return {share_begin(cell.keys, rank, cell.ranks), share_begin(cell.keys, rank + 1, cell.ranks)};
}
std::uint64_t times_of(std::uint64_t key) { return 1 + key % 3; }

/// 16 characters, which stand in a table in no order of theirs.
std::array<char, 16> text_of(std::uint64_t key) {
  std::array<char, 16> text;
  std::uint64_t bits = mix64(key + 1);
  for (char& c : text) {
    c = "0123456789abcdef"[bits & 15];
    bits >>= 4;
  }
  return text;
}
std::string_view view_of(std::array<char, 16> const& text) { return {text.data(), text.size()}; }

/// What a rank of `ranks` has counted.
Counts tally_of(MergeCell const& cell, bool disjoint, int rank) {
  auto const [begin, end] = keys_of(cell, disjoint, rank);
  if (cell.kind == KeyKind::dense) {
    Counts counts = Counts::dense(static_cast<std::uint32_t>(cell.keys));
    auto* const row = counts.dense_row(0);
    for (std::uint64_t key = begin; key < end; ++key) row[key] = times_of(key);
    counts.events = std::accumulate(row, row + cell.keys, std::uint64_t{0});
    return counts;
  }
  Counts counts = Counts::text();
  TextMap& map = counts.text_window(0);
  for (std::uint64_t key = begin; key < end; ++key) {
    auto const text = text_of(key);
    counts.count_of_copied(map, view_of(text), TextHash{}(view_of(text))) += times_of(key);
    counts.events += times_of(key);
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

/// Throws std::logic_error unless every key has, over all ranks, the count that it must. Collective.
void check_merged(Counts& merged, MergeCell const& cell, bool disjoint, Communicator const& ranks,
                  Patience const& patience) {
  constexpr char kChecking[] = "checking what was merged";
  std::uint64_t const ranks_with_it = disjoint ? 1 : static_cast<std::uint64_t>(cell.ranks);
  auto const wrong = [&cell](std::string const& what) {
    return std::logic_error("merging gave a wrong count: " + what + " of " + cell.name());
  };
  if (cell.kind == KeyKind::dense) {
    if (ranks.rank() != 0) return;
    auto const* const row = merged.dense_row_if(0);
    for (std::uint64_t key = 0; key < cell.keys; ++key) {
      std::uint64_t const got = row == nullptr ? 0 : row[key], expected = ranks_with_it * times_of(key);
      if (got != expected)
        throw wrong("key " + std::to_string(key) + " is there " + std::to_string(got) + " times, not " +
                    std::to_string(expected) + ",");
    }
    return;
  }
  // Each rank works out a part of what there must be.
  KeyDigest expected, got = KeyDigest::of(merged, 1);
  auto const [begin, end] = keys_of(cell, true, ranks.rank());
  for (std::uint64_t key = begin; key < end; ++key) {
    auto const text = text_of(key);
    expected.add(0, TextHash{}(view_of(text)), ranks_with_it * times_of(key));
  }
  for (auto* const part : {&expected, &got})
    for (std::uint64_t* const sum : {&part->one, &part->other, &part->keys})
      *sum = ranks.all_sum(*sum, patience, kChecking);
  if (!(got == expected))
    throw wrong(got.keys == expected.keys
                    ? "the keys' counts differ,"
                    : std::to_string(got.keys) + " keys, not " + std::to_string(expected.keys) + ",");
}

struct Merged {
  double took_s = 0;
  double round_trip_s = 0;  ///< at rank 0
  double start_late_s = 0;  ///< by so much the latest rank began after the common start
};

Merged merge_over(MergeCell& cell, bool disjoint, Communicator const& ranks,
                  std::vector<std::string> const& hosts, Patience const& sleeping, RankDeadline& deadline) {
  Patience patience = sleeping;
  patience.sleeping = false;
  deadline.works();
  Counts counts = tally_of(cell, disjoint, ranks.rank());
  deadline.waits();
  CommonStart const common(ranks, hosts, patience);
  auto const late = common.wait(ranks, patience);
  auto const began = Clock::now();
  auto const figures = merge_over_ranks(counts, 1, ranks, patience);
  auto const took = Clock::now() - began;
  auto const most = [&](std::chrono::nanoseconds time) {
    return in_seconds(std::chrono::nanoseconds(
        ranks.all_max(static_cast<std::uint64_t>(time.count()), patience, "which rank was the slowest")));
  };
  Merged const merged{most(took), in_seconds(common.round_trip()), most(late)};
  cell.sent_bytes = ranks.all_sum(figures.sent_bytes, patience, "how much was sent");
  all_or_none(ranks, hosts, patience, [&] { check_merged(counts, cell, disjoint, ranks, patience); });
  return merged;
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
  double const took_s = in_seconds(Clock::now() - began);
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
  context["rounds_asked"] = options.rounds;
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
                 {"start_late_s", cell.start_late_s[i]},
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
  return in_job(arguments, watch, [&](InJob const& in) {
    Options options;
    all_or_none(in.world, in.job.hosts, in.joining, [&] {
      options = parse(arguments, in.world.size());
      if (in.leads && !options.out.empty()) check_output_file("--out", options.out);
    });
    auto const within = options.sample_timeout;
    auto const groups = form_groups(in.world, options.ranks, &watch, in.stop);
    std::vector<MergeCell> cells;
    for (KeyKind const kind : options.kinds)
      for (std::uint64_t const keys : options.keys)
        for (int const ranks : options.ranks) {
          std::set<std::string> const hosts(in.job.hosts.begin(), in.job.hosts.begin() + ranks);
          cells.push_back({kind, keys, ranks, static_cast<int>(hosts.size()), in.job.ranks_per_cpu(ranks)});
        }
    // One more than is asked for: the first opens connections, and finds how fast they may be.
    for (int round = -1; round < options.rounds; ++round) {
      for (MergeCell& cell : cells) {
        RankDeadline deadline(&watch, "merging, " + cell.name(), within);
        auto const patience = Patience::for_at_most(within + rank_slack(within), &in.stop);
        Communicator const& ranks = groups.at(cell.ranks);
        if (!ranks.empty()) {
          std::vector<std::string> const hosts(in.job.hosts.begin(), in.job.hosts.begin() + cell.ranks);
          Merged const merged = merge_over(cell, options.disjoint, ranks, hosts, patience, deadline);
          if (round >= 0) {
            cell.over_ranks_s.push_back(merged.took_s);
            cell.round_trip_s.push_back(merged.round_trip_s);
            cell.start_late_s.push_back(merged.start_late_s);
          }
        }
        if (in.leads && options.one_process && cell.ranks > 1 && round >= 0) {
          deadline.works();
          cell.one_process_s.push_back(merge_here(cell, options.disjoint));
          deadline.waits();
        }
        ::malloc_trim(0);
        in.world.barrier(patience, "the end of a merge");
      }
      if (in.leads && round >= 0 && !options.out.empty()) write_results(cells, options, in.job, arguments);
    }
    if (in.leads) write_output(table_of(cells, options));
    return 0;
  });
}

}  // namespace tally
