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
#include "bench/plan/external_models.hpp"
#include "bench/plan/parameter_table.hpp"

namespace tally {
namespace {

using Value = std::optional<std::string>;

// Far past any machine; what this one allows is checked against its own limits.
constexpr std::uint64_t kMostEvents = 1ULL << 40;
constexpr std::uint64_t kMostRounds = 100'000;

constexpr std::array<std::pair<std::string_view, StreamKind>, 3> kStreamNames{
    {{"cpu", StreamKind::cpu}, {"lookup", StreamKind::lookup}, {"ingest", StreamKind::ingest}}};

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
        lists(list_options(p)),
        wait_dist(p.option("--wait-dist", "NAME",
                           "how waits are distributed: exponential (default), fixed or lognormal")),
        service(p.option(
            "--service", "WHERE",
            "whom lookups ask: embedded (default), or redis://[[USER]:PASSWORD@]HOST:PORT[/DB]: a Redis "
            "database, which gets keys of the run's own for as long as it takes, or another tally "
            "lookup-service")),
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
  Value& stream;
  std::vector<Value*> lists;  // of the table of parameters, in its order
  Value &wait_dist, &service, &slo;
  bool& lookup;
  LoadArguments load;
  Value& events;
  KeyArguments keys;
  Value &input, &repeat;
  TextArguments text;
  Value &rounds, &ci, &time_budget, &sample_timeout, &idle, &against, &order_seed, &out, &hgrm;
  bool& no_progress;
  Value *ranks = nullptr, *scaling = nullptr;

  /// The value of a list that the table of parameters has.
  Value const& list(std::string_view flag) const {
    auto const all = list_parameters();
    auto const found =
        std::find_if(all.begin(), all.end(), [&](Parameter const& p) { return p.flag == flag; });
    return *lists.at(static_cast<std::size_t>(found - all.begin()));
  }

 private:
  static std::vector<Value*> list_options(ArgumentParser& p) {
    std::vector<Value*> options;
    for (Parameter const& parameter : list_parameters())
      options.push_back(
          &p.option(std::string(parameter.flag), std::string(parameter.values), parameter.help()));
    return options;
  }
};

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
  options.ingest_lookup = given.lookup;
  if (given.input) options.input = *given.input;
  auto const parameters = list_parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].read(options, *given.lists[i]);
  if (given.wait_dist) options.wait_distribution = read_wait_distribution(*given.wait_dist);
  if (given.service) options.service = read_service(*given.service);
  // Who is not ours waits as long as it likes, unless it is said how long.
  if (options.service && !given.list("--wait")) options.waits = {std::chrono::nanoseconds{0}};
  if (given.slo) {
    options.slo = parse_slo("--slo", *given.slo);
    if (given.list("--rate")) throw UsageError("--slo finds the rates: leave --rate out");
    if (options.streams != std::vector{StreamKind::ingest})
      throw UsageError("--slo is for --stream ingest alone: events have latencies where they arrive");
  }
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
  auto const parameters = list_parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (*given.lists[i] && !parameters[i].measured(options))
      note(parameters[i].flag, std::string(parameters[i].streams));
  bool const ingest = measured(StreamKind::ingest);
  if (!measured(StreamKind::lookup) && !(ingest && given.lookup)) {
    for (IdleFlag const& flag : {IdleFlag{"--wait-dist", &given.wait_dist}, {"--service", &given.service}})
      if (*flag.value) note(flag.name, "lookup, or ingest with --lookup");
  }
  if (ingest) return;
  if (given.lookup) note("--lookup", "ingest");
  for (IdleFlag const& flag : {IdleFlag{"--arrivals", &given.load.arrivals},
                               {"--slo", &given.slo},
                               {"--hgrm", &given.hgrm},
                               {"--coalesce", &given.load.coalesce},
                               {"--disorder", &given.load.disorder}})
    if (*flag.value) note(flag.name, "ingest");
}

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
