// What a campaign is to measure, and how.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/machine/reference_work.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/parameters.hpp"
#include "bench/plan/slo.hpp"
#include "bench/services/redis_url.hpp"
#include "models/model.hpp"
#include "workloads/ingest/load_schedule.hpp"
#include "workloads/lookup/lookup_wait.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {

class ExternalModels;

/// What a CPU does that has nothing to run, as the kernel's parameter of that name has it.
enum class Idle { halt, poll };
inline constexpr std::array<std::pair<std::string_view, Idle>, 2> kIdles{
    {{"halt", Idle::halt}, {"poll", Idle::poll}}};
constexpr std::string_view name_of(Idle idle) noexcept { return idle == Idle::poll ? "poll" : "halt"; }

/// Flags of Google Benchmark that the campaign itself obeys, since it makes the rounds; all others go to the
/// library.
struct BenchmarkFlags {
  bool list_tests = false;
  std::string filter;         ///< regular expression over cell names; a leading '-' negates
  std::string format;         ///< console, json or csv on stdout; "" is Tally's own table
  std::filesystem::path out;  ///< a second file, in out_format
  std::string out_format = "json";
  bool report_aggregates_only = false;
  bool display_aggregates_only = false;
  std::chrono::nanoseconds min_warmup{0};  ///< untimed samples of each cell before its first, for this long
  std::map<std::string, std::string> context;
  std::vector<std::string> passed_on;  ///< to benchmark::Initialize, in the order given
};

/// What grows with the number of ranks: the events of all together, or nothing.
enum class Scaling { none, weak, strong };

struct RunOptions {
  std::vector<Model const*> models;
  std::shared_ptr<ExternalModels const>
      external{};  ///< --external; holds those of the models that it made; or null
  std::vector<StreamKind> streams;
  std::optional<std::uint64_t> events;  ///< none: auto
  KeySpec keys;
  std::chrono::nanoseconds window{0};
  std::optional<std::filesystem::path> input;
  TextSpec text;                                 ///< with input; its window follows `window`
  std::vector<int> workers;                      ///< empty: the default of each stream
  std::vector<std::chrono::nanoseconds> grains;  ///< empty: the default of each stream
  std::vector<std::uint64_t> batches;
  std::vector<std::chrono::nanoseconds> waits;
  WaitDistribution wait_distribution = WaitDistribution::exponential;
  std::vector<int> in_flights;
  std::vector<Io> ios{Io::epoll};   ///< lookup and ingest, of models that wait as they are told
  std::optional<RedisUrl> service;  ///< none: embedded
  std::vector<int> connections;     ///< ingest
  std::vector<double> rates_per_s;  ///< ingest; 0: as many as are taken
  std::optional<Slo> slo;      ///< ingest: search the highest rate that keeps it, instead of `rates_per_s`
  bool ingest_lookup = false;  ///< each event of ingest waits for the lookup service
  Arrivals arrivals = Arrivals::poisson;
  std::chrono::nanoseconds coalesce{0};
  std::chrono::nanoseconds disorder{0};
  Idle idle = Idle::halt;  ///< workers' CPUs
  int min_rounds = 1;
  int max_rounds = 1;
  /// After three rounds, a cell that was slower by this factor than another of its group in all is measured
  /// no more; none: every cell has its rounds.
  std::optional<double> outrun_by{};
  double ci = 0.03;  ///< half-width of the 95% interval, relative to the median
  std::chrono::nanoseconds time_budget{0};
  std::uint64_t order_seed = 1;
  bool shuffle = true;
  std::chrono::nanoseconds sample_length{std::chrono::milliseconds{200}};  ///< what `--events auto` aims at
  /// The greatest part of a sample of lookups at whose end nothing is done but to wait.
  double most_draining = defaults::kMostDraining;
  std::chrono::nanoseconds sample_timeout{0};
  ReferenceWork reference{};      ///< not an option
  RatedLengths rated_lengths{};   ///< not an option
  std::filesystem::path against;  ///< another build of Tally; "": none
  std::filesystem::path out;      ///< "": no file
  std::filesystem::path hgrm;     ///< folder of latencies' percentiles; "": none
  bool progress = true;
  std::vector<int> ranks{};  ///< how many of an MPI job's count; empty: this process alone
  Scaling scaling = Scaling::none;
  /// Hosts among the first n ranks, at n - 1: not an option, but as the job was launched.
  std::vector<int> hosts_of_ranks{};
  BenchmarkFlags benchmark;
  std::vector<std::string> notes;         ///< flags given that change no cell, a sentence each
  std::string command = "run";            ///< of tally, to which `command_line` was given
  std::vector<std::string> command_line;  ///< as given but for passwords, for the manifest
};

}  // namespace tally
