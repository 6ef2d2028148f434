#include "bench/cli/options.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <memory>

#include "bench/base/lists.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/argument_parser.hpp"
#include "bench/cli/benchmark_flags.hpp"
#include "bench/cli/event_options.hpp"
#include "bench/plan/defaults.hpp"
#include "models/runtime/io/uring.hpp"

namespace tally {
namespace {

using Value = std::optional<std::string>;

// Far past any machine; what this one allows is checked against its own limits.
constexpr std::uint64_t kMostWorkers = 65'536;
constexpr std::uint64_t kMostInFlight = 1'000'000;
constexpr std::uint64_t kMostEvents = 1ULL << 40;
constexpr std::uint64_t kMostRounds = 100'000;

constexpr std::array<std::pair<std::string_view, StreamKind>, 3> kStreamNames{
    {{"cpu", StreamKind::cpu}, {"lookup", StreamKind::lookup}, {"ingest", StreamKind::ingest}}};

/// `a,b` of durations, for help texts.
template <class Durations>
std::string spell_all(Durations const& durations) {
  std::string text;
  for (auto const duration : durations) text += (text.empty() ? "" : ",") + format_duration(duration);
  return text;
}
template <class Numbers>
std::string spell_numbers(Numbers const& numbers) {
  std::string text;
  for (auto const number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

/// All that `tally run` takes, as text.
struct RunArguments {
  /// `many`: of an MPI job too.
  RunArguments(ArgumentParser& p, std::span<Model const> known, bool many)
      : models(known),
        model((p.heading("Which cells (lists are comma-separated; every combination is a cell)"),
               p.option("--model", "M,..",
                        "models to compare, or all (default: all but those that 'tally list' marks 'not by "
                        "default')"))),
        external(p.list(
            "--external", "NAME=COMMAND",
            "a program of yours as a model, any number of times: {events} in its command is the file that it "
            "counts on cpu, {port} and {count} are for lookup, {port} alone is for ingest "
            "(docs/programs.md)")),
        stream(p.option("--stream", "S,..", "cpu, lookup, ingest (default: cpu,lookup; with --input: cpu)")),
        workers(
            p.option("--workers", "N,..",
                     "threads or processes (default: the CPUs this process may use; one fewer on lookup and "
                     "ingest)")),
        grain(p.option("--grain", "D,..",
                       "CPU time per event (default: " + spell_all(defaults::kCpuGrains) + " on cpu, " +
                           spell_all(defaults::kLookupGrains) + " on lookup, ingest and with --input)")),
        batch(p.option("--batch", "N,..",
                       "cpu: events of one task, exactly, or auto, as the model likes (default: " +
                           spell_numbers(defaults::kBatches) + ", with --input " +
                           spell_numbers(defaults::kTextBatches) + ")")),
        wait(p.option("--wait", "D,..",
                      "lookup, and ingest with --lookup: mean wait for a reply (default: " +
                          spell_all(defaults::kWaits) + ")")),
        wait_dist(
            p.option("--wait-dist", "NAME", "their distribution: exponential (default), fixed or lognormal")),
        in_flight(p.option("--in-flight", "N,..",
                           "lookup: connections (default: " + spell_numbers(defaults::kInFlights) + ")")),
        io(p.option("--io", "IO,..",
                    "lookup, ingest: how models that wait without blocking wait: epoll (default), io_uring")),
        service(p.option(
            "--service", "WHERE",
            "whom lookups ask: embedded (default), or redis://[[USER]:PASSWORD@]HOST:PORT[/DB]: a Redis "
            "database, which gets keys of the run's own for as long as it takes, or another tally "
            "lookup-service")),
        connections(
            p.option("--connections", "N,..",
                     "ingest: how many send (default: " + spell_numbers(defaults::kConnections) + ")")),
        rate(p.option("--rate", "R,..|max",
                      "ingest: events a second, of all connections together; max (default): as many as the "
                      "server takes")),
        slo(p.option("--slo", "pP=D",
                     "ingest: instead of --rate, find for each model the highest rate at which so many "
                     "percent of all events "
                     "are counted within D, as in p99=5ms")),
        lookup(p.flag("--lookup", "ingest: each event waits for the lookup service before it is counted")),
        load(p),
        events((p.heading("Which events"),
                p.option("--events", "N|auto",
                         "synthetic events per sample (auto: about 0.2 s of each cell's bound)"))),
        keys(p),
        input(p.option("--input", "FILE",
                       "count this file's lines, plain, gzip or zstd, instead of synthetic events")),
        repeat(p.option("--repeat", "N", "replay the file N times (default 1)")),
        text(p),
        rounds(
            (p.heading("How long and how well"),
             p.option("--rounds", "MIN:MAX",
                      "rounds of every cell, or N for both (default " + std::to_string(defaults::kMinRounds) +
                          ":" + std::to_string(defaults::kMaxRounds) + ")"))),
        ci(p.option(
            "--ci", "X",
            "close a cell when its 95% interval is within this part of the median: 0.03 (default) or 3%")),
        time_budget(p.option(
            "--time-budget", "D",
            "begin no new round after this (default " + format_duration(defaults::kTimeBudget) + ")")),
        sample_timeout(p.option("--sample-timeout", "D",
                                "a sample that takes longer has failed (default " +
                                    format_duration(defaults::kSampleTimeout) + ")")),
        idle(p.option(
            "--idle", "halt|poll",
            "what CPUs do that have nothing to run: sleep (default), so that what this machine takes "
            "to wake them is in the figures, or stay awake")),
        against(p.option(
            "--against", "TALLY",
            "another build of tally, measured beside this one, sample by sample in turn (default "
            "--ci " +
                format_percent(defaults::kAgainstCi, 0) + " of the ratio, --rounds " +
                std::to_string(defaults::kMinRounds) + ":" + std::to_string(defaults::kAgainstMaxRounds) +
                ", --time-budget " + format_duration(defaults::kAgainstTimeBudget) + ")")),
        order_seed(p.option("--order-seed", "N", "seed of the order within the rounds (default 1)")),
        out((p.heading("What is written"), p.option("--out", "FILE.json", "write the results here"))),
        hgrm(
            p.option("--hgrm", "DIR",
                     "ingest at a rate: write the latencies' percentiles here, for HdrHistogram's plotters")),
        no_progress(p.flag("--no-progress", "nothing on stderr while it runs")) {
    if (!many) return;
    p.heading("Many machines (under mpirun)");
    ranks =
        &p.option("--ranks", "N,..",
                  "how many of the job's ranks count, the first so many (default: all; with --scaling: 1, "
                  "2, 4, .. and all)");
    scaling = &p.option("--scaling", "weak|strong",
                        "weak: --events is of each rank, so that work grows with ranks; strong (and without "
                        "it): of all together");
  }

  std::span<Model const> models;
  Value& model;
  std::vector<std::string>& external;
  Value &stream, &workers, &grain, &batch, &wait, &wait_dist, &in_flight, &io, &service;
  Value &connections, &rate, &slo;
  bool& lookup;
  LoadArguments load;
  Value& events;
  KeyArguments keys;
  Value &input, &repeat;
  TextArguments text;
  Value &rounds, &ci, &time_budget, &sample_timeout, &idle, &against, &order_seed, &out, &hgrm;
  bool& no_progress;
  Value *ranks = nullptr, *scaling = nullptr;
};

/// Each item of the list `given`, read by `read`; `otherwise` if it was not given.
template <class T, class Defaults, class Read>
std::vector<T> read_list(std::string_view flag, Value const& given, Defaults const& otherwise, Read read) {
  if (!given) return {std::begin(otherwise), std::end(otherwise)};
  std::vector<T> values;
  for (auto const& item : split_list(flag, *given)) values.push_back(static_cast<T>(read(item)));
  return values;
}

std::vector<StreamKind> read_streams(RunArguments const& given) {
  if (!given.stream && given.input) return {StreamKind::cpu};
  if (!given.stream) return {StreamKind::cpu, StreamKind::lookup};
  std::vector<StreamKind> streams;
  for (auto const& name : split_list("--stream", *given.stream)) {
    streams.push_back(choose("--stream", name, kStreamNames));
    if (streams.back() != StreamKind::cpu && given.input) {
      throw UsageError("--stream " + name +
                       " needs synthetic events: leave --input out, or write --stream cpu");
    }
  }
  return streams;
}

std::shared_ptr<ExternalModels const> read_external(RunArguments const& given,
                                                    std::vector<StreamKind> const& streams) {
  if (given.external.empty()) return nullptr;
  if (given.input) throw UsageError("--external counts synthetic events alone: leave --input out");
  if (given.against) throw UsageError("--against compares builds of tally: leave --external out");
  if (given.slo) throw UsageError("--slo asks for latencies, which no program tells: leave --external out");
  auto external = std::make_shared<ExternalModels const>(given.external, given.models);
  for (Model const& model : external->rows())
    if (model.lookup != nullptr && given.service && *given.service != "embedded")
      throw UsageError("--external '" + std::string(model.name) +
                       "' asks for lookups as the embedded service has them: leave --service out");
  for (Model const& model : external->rows())
    if (std::none_of(streams.begin(), streams.end(), [&](StreamKind s) { return runs(model, s); }))
      throw UsageError("--external '" + std::string(model.name) +
                       "' runs on none of the streams that are measured: add " +
                       std::string(name_of(*std::find_if(kAllStreams.begin(), kAllStreams.end(),
                                                         [&](StreamKind s) { return runs(model, s); }))) +
                       " to --stream");
  return external;
}

std::vector<Model const*> read_models(RunArguments const& given, RunOptions const& options) {
  std::vector<StreamKind> const& streams = options.streams;
  std::span<Model const> external;
  if (options.external) external = options.external->rows();
  std::vector<Model const*> models;
  auto const add_all = [&](bool also_variants) {
    for (Model const& model : given.models)
      if (model.unavailable.empty() && (model.by_default || also_variants)) models.push_back(&model);
  };
  if (!given.model) {
    add_all(false);
    for (Model const& model : external) models.push_back(&model);
    return models;
  }
  for (auto const& name : split_list("--model", *given.model)) {
    if (name == "all") {
      add_all(true);
      for (Model const& model : external) models.push_back(&model);
      continue;
    }
    auto const mine =
        std::find_if(external.begin(), external.end(), [&](Model const& m) { return m.name == name; });
    Model const& model = mine != external.end() ? *mine : find_model(name, given.models);
    bool const any =
        std::any_of(streams.begin(), streams.end(), [&](StreamKind s) { return runs(model, s); });
    if (!any) {
      throw UsageError("--model '" + name + "' does not run on --stream " +
                       std::string(name_of(streams.front())) + "; 'tally list' says which do");
    }
    models.push_back(&model);
  }
  return models;
}

void read_events(RunArguments const& given, RunOptions& options) {
  options.keys = given.keys.read();
  if (!given.input) {
    if (auto const flag = given.text.first_given(); !flag.empty())
      throw UsageError(std::string(flag) + " is for the lines of a file: add --input FILE");
    for (auto const& [flag, value] :
         {std::pair{"--format", &given.text.format}, {"--repeat", &given.repeat}}) {
      if (*value) throw UsageError(std::string(flag) + " is for the lines of a file: add --input FILE");
    }
    if (given.events && *given.events != "auto") {
      if ((*given.events).find_first_of("0123456789") == std::string::npos) {
        throw UsageError("--events '" + *given.events + "': write a number, such as 10M, or auto");
      }
      options.events = parse_count("--events", *given.events, 0, kMostEvents);
    }
    if (given.text.window) options.window = parse_duration("--window", *given.text.window);
    return;
  }
  for (auto const& [flag, value] :
       {std::pair{"--events", &given.events}, {"--keys", &given.keys.keys}, {"--skew", &given.keys.skew}}) {
    if (*value) {
      throw UsageError(std::string(flag) +
                       " is for synthetic events: leave it out with --input (--repeat N replays the file)");
    }
  }
  options.input = *given.input;
  options.text = given.text.read();
  options.window = options.text.window;
  if (given.repeat) options.text.repeat = parse_count("--repeat", *given.repeat, 1, 1'000'000'000);
}

void read_rounds(Value const& given, RunOptions& options) {
  options.min_rounds = defaults::kMinRounds;
  options.max_rounds = options.against.empty() ? defaults::kMaxRounds : defaults::kAgainstMaxRounds;
  if (!given) return;
  auto const colon = given->find(':');
  auto const read = [](std::string const& text) {
    return static_cast<int>(parse_count("--rounds", text, 1, kMostRounds));
  };
  options.min_rounds = read(given->substr(0, colon));
  options.max_rounds = colon == std::string::npos ? options.min_rounds : read(given->substr(colon + 1));
  if (options.min_rounds > options.max_rounds) {
    throw UsageError("--rounds '" + *given + "': the least comes first, as in 10:40");
  }
}

std::chrono::nanoseconds read_positive(std::string_view flag, Value const& given,
                                       std::chrono::nanoseconds otherwise) {
  if (!given) return otherwise;
  auto const duration = parse_duration(flag, *given);
  if (duration.count() == 0)
    throw UsageError(std::string(flag) + " '" + *given + "': write a duration above 0");
  return duration;
}

std::optional<RedisUrl> read_service(std::string const& text) {
  if (text == "embedded") return std::nullopt;
  RedisUrl url = parse_redis_url("--service", text);
  char const* const password = std::getenv(kRedisPasswordVariable);
  if (url.password.empty() && password != nullptr) url.password = password;
  return url;
}

void read_cell_options(RunArguments const& given, RunOptions& options) {
  options.streams = read_streams(given);
  options.external = read_external(given, options.streams);
  options.models = read_models(given, options);
  auto const duration_of = [](std::string_view flag) {
    return [flag](std::string const& text) { return parse_duration(flag, text); };
  };
  auto const count_of = [](std::string_view flag, std::uint64_t most) {
    return [flag, most](std::string const& text) { return parse_count(flag, text, 1, most); };
  };
  using Durations = std::vector<std::chrono::nanoseconds>;
  options.workers =
      read_list<int>("--workers", given.workers, std::vector<int>{}, count_of("--workers", kMostWorkers));
  options.grains =
      read_list<std::chrono::nanoseconds>("--grain", given.grain, Durations{}, duration_of("--grain"));
  options.batches = read_list<std::uint64_t>(
      "--batch", given.batch, given.input ? defaults::kTextBatches : defaults::kBatches,
      [&](std::string const& text) {
        return text == kAutoBatchWord ? kAutoBatch : parse_count("--batch", text, 1, kMostEvents);
      });
  options.waits =
      read_list<std::chrono::nanoseconds>("--wait", given.wait, defaults::kWaits, duration_of("--wait"));
  options.in_flights = read_list<int>("--in-flight", given.in_flight, defaults::kInFlights,
                                      count_of("--in-flight", kMostInFlight));
  options.ios = read_list<Io>("--io", given.io, std::array{Io::epoll}, read_io);
  if (given.wait_dist) options.wait_distribution = read_wait_distribution(*given.wait_dist);
  if (given.service) options.service = read_service(*given.service);
  // Who is not ours waits as long as it likes, unless it is said how long.
  if (options.service && !given.wait) options.waits = {std::chrono::nanoseconds{0}};
  options.connections = read_list<int>("--connections", given.connections, defaults::kConnections,
                                       count_of("--connections", kMostConnections));
  options.rates_per_s = read_list<double>("--rate", given.rate, defaults::kRates_per_s, read_rate);
  if (given.slo) {
    options.slo = parse_slo("--slo", *given.slo);
    if (given.rate) throw UsageError("--slo finds the rates: leave --rate out");
    if (options.streams != std::vector{StreamKind::ingest})
      throw UsageError("--slo is for --stream ingest alone: events have latencies where they arrive");
  }
  options.ingest_lookup = given.lookup;
  LoadSpec load;
  given.load.read(load);
  options.arrivals = load.arrivals;
  options.coalesce = load.coalesce;
  options.disorder = load.disorder;
}

/// Says which flags were given for a stream that is not measured. No error, so that one set of flags can
/// serve scripts that go from stream to stream.
void note_idle_flags(RunArguments const& given, RunOptions& options) {
  auto const measured = [&](StreamKind stream) {
    return std::find(options.streams.begin(), options.streams.end(), stream) != options.streams.end();
  };
  auto const note = [&](std::string_view flag, std::string const& what_for) {
    options.notes.push_back(std::string(flag) + " changes nothing: it is for --stream " + what_for +
                            ", which is not measured");
  };
  struct IdleFlag {
    std::string_view name;
    Value const* value;
  };
  if (!measured(StreamKind::cpu) && given.batch) note("--batch", "cpu");
  if (!measured(StreamKind::lookup) && given.in_flight) note("--in-flight", "lookup");
  bool const ingest = measured(StreamKind::ingest);
  if (!measured(StreamKind::lookup) && !ingest && given.io) note("--io", "lookup or ingest");
  if (!measured(StreamKind::lookup) && !(ingest && given.lookup)) {
    for (IdleFlag const& flag :
         {IdleFlag{"--wait", &given.wait}, {"--wait-dist", &given.wait_dist}, {"--service", &given.service}})
      if (*flag.value) note(flag.name, ingest ? "lookup, or ingest with --lookup" : "lookup");
  }
  if (ingest) return;
  if (given.lookup) note("--lookup", "ingest");
  for (IdleFlag const& flag : {IdleFlag{"--connections", &given.connections},
                               {"--rate", &given.rate},
                               {"--arrivals", &given.load.arrivals},
                               {"--slo", &given.slo},
                               {"--hgrm", &given.hgrm},
                               {"--coalesce", &given.load.coalesce},
                               {"--disorder", &given.load.disorder}})
    if (*flag.value) note(flag.name, "ingest");
}

}  // namespace

Io read_io(std::string const& text) {
  Io const io = choose("--io", text, kIos);
  if (io == Io::io_uring && !why_no_uring().empty())
    throw UsageError("--io io_uring is unavailable here, because " + why_no_uring() + "; write --io epoll");
  return io;
}

namespace {

constexpr std::array<std::pair<std::string_view, Scaling>, 2> kScalings{
    {{"weak", Scaling::weak}, {"strong", Scaling::strong}}};

/// What the ranks of a job share out, and what they cannot.
void read_ranks(RunArguments const& given, int ranks, RunOptions& options) {
  if (std::find(options.streams.begin(), options.streams.end(), StreamKind::ingest) != options.streams.end())
    throw UsageError(
        "--stream ingest arrives at one machine: write --stream cpu or lookup, or use tally run");
  if (given.against) throw UsageError("--against compares builds of tally on one machine: use tally run");
  if (options.external)
    throw UsageError("--external runs a program on one machine: leave it out, or use tally run");
  if (options.service)
    throw UsageError(
        "--service names one service for all ranks, where each has one of its own: leave it out, or use "
        "tally run");
  if (given.idle) throw UsageError("--idle is for one machine: leave it out, or use tally run");
  if (*given.scaling) {
    options.scaling = choose("--scaling", **given.scaling, kScalings);
    if (options.scaling == Scaling::weak && options.input)
      throw UsageError(
          "--scaling weak needs events that grow with ranks: leave --input out, or write strong");
  }
  if (*given.ranks) {
    for (auto const& item : split_list("--ranks", **given.ranks))
      options.ranks.push_back(
          static_cast<int>(parse_count("--ranks", item, 1, static_cast<std::uint64_t>(ranks))));
    return;
  }
  if (options.scaling != Scaling::none)
    for (int n = 1; n < ranks; n *= 2) options.ranks.push_back(n);
  options.ranks.push_back(ranks);
}

RunOptions parse(std::vector<std::string> const& arguments, std::span<Model const> models, int ranks) {
  bool const many = ranks > 0;
  ArgumentParser parser(
      many ? "tally-mpi run" : "tally run",
      many ? "Counts the same events with every model, in each rank of an MPI job, merges and "
             "checks every count, and compares."
           : "Counts the same events with every model, checks every count, and compares.");
  RunArguments const given(parser, models, many);
  parser.footer(
      "Also every --benchmark_NAME=VALUE flag of Google Benchmark; BENCHMARK_* environment variables are "
      "ignored.\n"
      "Exit status: 0 all measured and verified, 1 a cell failed, 2 wrong command line, 130 interrupted.");
  auto const benchmark_flags = parser.parse(arguments, true);

  RunOptions options;
  for (std::string const& argument : arguments) options.command_line.push_back(without_password(argument));
  read_cell_options(given, options);
  note_idle_flags(given, options);
  read_events(given, options);
  if (given.against && given.against->empty()) throw UsageError("--against: write the path of another tally");
  options.against = given.against.value_or("");
  if (given.against &&
      std::find(options.streams.begin(), options.streams.end(), StreamKind::ingest) != options.streams.end())
    throw UsageError("--against compares builds on cpu and lookup: leave ingest out of --stream");
  bool const alone = options.against.empty();
  read_rounds(given.rounds, options);
  options.ci = given.ci ? parse_half_width("--ci", *given.ci) : alone ? defaults::kCi : defaults::kAgainstCi;
  options.time_budget = read_positive("--time-budget", given.time_budget,
                                      alone ? defaults::kTimeBudget : defaults::kAgainstTimeBudget);
  options.sample_timeout = read_positive("--sample-timeout", given.sample_timeout, defaults::kSampleTimeout);
  if (given.idle) options.idle = choose("--idle", *given.idle, kIdles);
  options.sample_length = defaults::kSampleLength;
  options.order_seed =
      given.order_seed ? parse_count("--order-seed", *given.order_seed) : defaults::kOrderSeed;
  if (given.out && given.out->empty()) throw UsageError("--out: write the name of a file");
  options.out = given.out.value_or("");
  if (given.hgrm && given.hgrm->empty()) throw UsageError("--hgrm: write the name of a folder");
  options.hgrm = given.hgrm.value_or("");
  options.progress = !given.no_progress;
  read_benchmark_flags(benchmark_flags, options);
  if (many) read_ranks(given, ranks, options);
  return options;
}

}  // namespace

RunOptions parse_run_options(std::vector<std::string> const& arguments, std::span<Model const> models) {
  return parse(arguments, models, 0);
}

RunOptions parse_mpi_run_options(std::vector<std::string> const& arguments, std::span<Model const> models,
                                 int ranks) {
  return parse(arguments, models, ranks);
}

}  // namespace tally
