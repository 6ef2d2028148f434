#include "bench/plan/parameter_table.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

#include "bench/base/lists.hpp"
#include "bench/base/units.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/defaults.hpp"
#include "models/model.hpp"
#include "models/runtime/io/uring.hpp"

namespace tally {
namespace {

using Value = std::optional<std::string>;

// Far past any machine; what this one allows is checked against its own limits.
constexpr std::uint64_t kMostWorkers = 65'536;
constexpr std::uint64_t kMostInFlight = 1'000'000;
constexpr std::uint64_t kMostBatch = 1ULL << 40;

/// `a,b`, for help texts.
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

/// Each item of the list `given`, read by `read`; `otherwise` if it was not given.
template <class T, class Defaults, class Read>
std::vector<T> read_list(std::string_view flag, Value const& given, Defaults const& otherwise, Read read) {
  if (!given) return {std::begin(otherwise), std::end(otherwise)};
  std::vector<T> values;
  for (auto const& item : split_list(flag, *given)) values.push_back(static_cast<T>(read(item)));
  return values;
}

auto duration_of(std::string_view flag) {
  return [flag](std::string const& text) { return parse_duration(flag, text); };
}
auto count_of(std::string_view flag, std::uint64_t most) {
  return [flag, most](std::string const& text) { return parse_count(flag, text, 1, most); };
}

/// Durations in ns, whole.
Json all_in_ns(std::vector<std::chrono::nanoseconds> const& durations) {
  Json list = Json::array();
  for (auto const d : durations) list.push_back(d.count());
  return list;
}

bool measures(RunOptions const& options, StreamKind stream) {
  return std::find(options.streams.begin(), options.streams.end(), stream) != options.streams.end();
}
bool measures_lookups(RunOptions const& options) {
  return measures(options, StreamKind::lookup) ||
         (measures(options, StreamKind::ingest) && options.ingest_lookup);
}

bool always(Parameters const&) { return true; }
bool on_cpu(Parameters const& p) { return p.stream == StreamKind::cpu; }
bool on_lookup(Parameters const& p) { return p.stream == StreamKind::lookup; }
bool on_ingest(Parameters const& p) { return p.stream == StreamKind::ingest; }
bool waits_for_others(Parameters const& p) { return !on_cpu(p); }

/// `max`, or as many digits as tell it from any other.
std::string spell_rate(double rate_per_s) {
  if (rate_per_s == 0) return "max";
  char text[32];
  auto const end = std::to_chars(text, text + sizeof text, rate_per_s, std::chars_format::fixed).ptr;
  return {text, end};
}

std::vector<int> workers_on(RunOptions const& options, StreamKind stream) {
  if (!options.workers.empty()) return options.workers;
  int const cpus = static_cast<int>(usable_cpus().size());
  // The lookup service and the load generator have a CPU of their own where there are two.
  return {stream == StreamKind::cpu ? cpus : std::max(1, cpus - 1)};
}

std::vector<std::chrono::nanoseconds> grains_on(RunOptions const& options, StreamKind stream) {
  if (!options.grains.empty()) return options.grains;
  auto const all = [](auto const& defaults) {
    return std::vector<std::chrono::nanoseconds>(defaults.begin(), defaults.end());
  };
  if (stream != StreamKind::cpu) return all(defaults::kLookupGrains);
  return options.input ? all(defaults::kTextGrains) : all(defaults::kCpuGrains);
}

/// How the values of a list of options become a member of the parameters, where `applies` says so.
template <auto list, auto member, auto applies>
struct Listed {
  static std::size_t number(RunOptions const& options, StreamKind stream) {
    return applies({.stream = stream, .lookup = options.ingest_lookup}) ? (options.*list).size() : 1;
  }
  static void set(Parameters& p, RunOptions const& options, std::size_t i) {
    if (applies(p)) p.*member = (options.*list)[i];
  }
};

// In the order in which a name has them.
constexpr Parameter kParameters[] = {
    {.flag = "--workers",
     .values = "N,..",
     .help =
         [] {
           return std::string(
               "threads or processes (default: the CPUs this process may use; one fewer on lookup and "
               "ingest)");
         },
     .streams = "",
     .measured = [](RunOptions const&) { return true; },
     .read =
         [](RunOptions& options, Value const& given) {
           options.workers =
               read_list<int>("--workers", given, std::vector<int>{}, count_of("--workers", kMostWorkers));
         },
     .applies = always,
     .number = [](RunOptions const& options,
                  StreamKind stream) { return workers_on(options, stream).size(); },
     .set = [](Parameters& p, RunOptions const& options,
               std::size_t i) { p.workers = workers_on(options, p.stream)[i]; },
     .loop = 1,
     .name = [](Parameters const& p) { return "/workers:" + std::to_string(p.workers); },
     .record = [](Json& entry, Parameters const& p) { entry["workers"] = p.workers; },
     .key = "workers",
     .asked =
         [](RunOptions const& options) {
           return options.workers.empty() ? Json("default") : Json(options.workers);
         }},
    {.flag = "--connections",
     .values = "N,..",
     .help = [] { return "ingest: how many send (default: " + spell_numbers(defaults::kConnections) + ")"; },
     .streams = "ingest",
     .measured = [](RunOptions const& options) { return measures(options, StreamKind::ingest); },
     .read =
         [](RunOptions& options, Value const& given) {
           options.connections = read_list<int>("--connections", given, defaults::kConnections,
                                                count_of("--connections", kMostConnections));
         },
     .applies = on_ingest,
     .number = Listed<&RunOptions::connections, &Parameters::connections, on_ingest>::number,
     .set = Listed<&RunOptions::connections, &Parameters::connections, on_ingest>::set,
     .loop = 5,
     .name = [](Parameters const& p) { return "/connections:" + std::to_string(p.connections); },
     .record = [](Json& entry, Parameters const& p) { entry["connections"] = p.connections; },
     .key = "connections",
     .asked =
         [](RunOptions const& options) {
           return measures(options, StreamKind::ingest) ? Json(options.connections) : Json();
         }},
    {.flag = "--rate",
     .values = "R,..|max",
     .help =
         [] {
           return std::string(
               "ingest: events a second, of all connections together; max (default): as many as the server "
               "takes");
         },
     .streams = "ingest",
     .measured = [](RunOptions const& options) { return measures(options, StreamKind::ingest); },
     .read =
         [](RunOptions& options, Value const& given) {
           options.rates_per_s = read_list<double>("--rate", given, defaults::kRates_per_s, read_rate);
         },
     .applies = on_ingest,
     .number = Listed<&RunOptions::rates_per_s, &Parameters::rate_per_s, on_ingest>::number,
     .set = Listed<&RunOptions::rates_per_s, &Parameters::rate_per_s, on_ingest>::set,
     .loop = 6,
     .name = [](Parameters const& p) { return "/rate:" + spell_rate(p.rate_per_s); },
     .record =
         [](Json& entry, Parameters const& p) {
           if (p.rate_per_s > 0)
             entry["rate_per_s"] = p.rate_per_s;
           else
             entry["rate_per_s_absent"] = "as many as the server takes";
         },
     .key = "rate_per_s",
     .asked =
         [](RunOptions const& options) {
           if (!measures(options, StreamKind::ingest)) return Json();
           Json list = Json::array();
           for (double const rate : options.rates_per_s) list.push_back(rate > 0 ? Json(rate) : Json("max"));
           return list;
         }},
    {.flag = "--wait",
     .values = "D,..",
     .help =
         [] {
           return "lookup, and ingest with --lookup: mean wait for a reply (default: " +
                  spell_all(defaults::kWaits) + ")";
         },
     .streams = "lookup, or ingest with --lookup",
     .measured = measures_lookups,
     .read =
         [](RunOptions& options, Value const& given) {
           options.waits =
               read_list<std::chrono::nanoseconds>("--wait", given, defaults::kWaits, duration_of("--wait"));
         },
     .applies = looks_up,
     .number = Listed<&RunOptions::waits, &Parameters::wait, looks_up>::number,
     .set = Listed<&RunOptions::waits, &Parameters::wait, looks_up>::set,
     .loop = 4,
     .name =
         [](Parameters const& p) {
           return p.wait.count() % 1000 == 0 ? "/wait_us:" + std::to_string(p.wait.count() / 1000)
                                             : "/wait_ns:" + std::to_string(p.wait.count());
         },
     .record = [](Json& entry, Parameters const& p) { entry["wait_ns"] = p.wait.count(); },
     .key = "wait_ns",
     .asked = [](RunOptions const& options) { return all_in_ns(options.waits); }},
    {.flag = "--in-flight",
     .values = "N,..",
     .help = [] { return "lookup: connections (default: " + spell_numbers(defaults::kInFlights) + ")"; },
     .streams = "lookup",
     .measured = [](RunOptions const& options) { return measures(options, StreamKind::lookup); },
     .read =
         [](RunOptions& options, Value const& given) {
           options.in_flights = read_list<int>("--in-flight", given, defaults::kInFlights,
                                               count_of("--in-flight", kMostInFlight));
         },
     .applies = on_lookup,
     .number = Listed<&RunOptions::in_flights, &Parameters::in_flight, on_lookup>::number,
     .set = Listed<&RunOptions::in_flights, &Parameters::in_flight, on_lookup>::set,
     .loop = 7,
     .name = [](Parameters const& p) { return "/in_flight:" + std::to_string(p.in_flight); },
     .record = [](Json& entry, Parameters const& p) { entry["in_flight"] = p.in_flight; },
     .key = "in_flight",
     .asked = [](RunOptions const& options) { return Json(options.in_flights); }},
    {.flag = "--grain",
     .values = "D,..",
     .help =
         [] {
           return "CPU time per event (default: " + spell_all(defaults::kCpuGrains) + " on cpu, " +
                  spell_all(defaults::kLookupGrains) + " on lookup, ingest and with --input)";
         },
     .streams = "",
     .measured = [](RunOptions const&) { return true; },
     .read =
         [](RunOptions& options, Value const& given) {
           options.grains = read_list<std::chrono::nanoseconds>(
               "--grain", given, std::vector<std::chrono::nanoseconds>{}, duration_of("--grain"));
         },
     .applies = always,
     .number = [](RunOptions const& options, StreamKind stream) { return grains_on(options, stream).size(); },
     .set = [](Parameters& p, RunOptions const& options,
               std::size_t i) { p.grain = grains_on(options, p.stream)[i]; },
     .loop = 2,
     .name =
         [](Parameters const& p) {
           return on_cpu(p) || p.grain.count() != 0 ? "/grain_ns:" + std::to_string(p.grain.count())
                                                    : std::string();
         },
     .record = [](Json& entry, Parameters const& p) { entry["grain_ns"] = p.grain.count(); },
     .key = "grain_ns",
     .asked =
         [](RunOptions const& options) {
           return options.grains.empty() ? Json("default") : all_in_ns(options.grains);
         }},
    {.flag = "--batch",
     .values = "N,..",
     .help =
         [] {
           return "cpu: events of one task, exactly, or auto, as the model likes (default: " +
                  spell_numbers(defaults::kBatches) + ", with --input " +
                  spell_numbers(defaults::kTextBatches) + ")";
         },
     .streams = "cpu",
     .measured = [](RunOptions const& options) { return measures(options, StreamKind::cpu); },
     .read =
         [](RunOptions& options, Value const& given) {
           options.batches = read_list<std::uint64_t>(
               "--batch", given, options.input ? defaults::kTextBatches : defaults::kBatches,
               [](std::string const& text) {
                 return text == kAutoBatchWord ? kAutoBatch : parse_count("--batch", text, 1, kMostBatch);
               });
         },
     .applies = on_cpu,
     .number = Listed<&RunOptions::batches, &Parameters::batch, on_cpu>::number,
     .set = Listed<&RunOptions::batches, &Parameters::batch, on_cpu>::set,
     .loop = 3,
     .name = [](Parameters const& p) { return "/batch:" + spell_batch(p.batch); },
     .record =
         [](Json& entry, Parameters const& p) {
           entry["batch"] = p.batch == kAutoBatch ? Json(kAutoBatchWord) : Json(p.batch);
         },
     .key = "batch",
     .asked =
         [](RunOptions const& options) {
           Json list = Json::array();
           for (std::uint64_t const batch : options.batches)
             list.push_back(batch == kAutoBatch ? Json(kAutoBatchWord) : Json(batch));
           return list;
         }},
    {.flag = "--io",
     .values = "IO,..",
     .help =
         [] {
           return std::string(
               "lookup, ingest: how models that wait without blocking wait: epoll (default), io_uring");
         },
     .streams = "lookup or ingest",
     .measured =
         [](RunOptions const& options) {
           return measures(options, StreamKind::lookup) || measures(options, StreamKind::ingest);
         },
     .read =
         [](RunOptions& options, Value const& given) {
           options.ios = read_list<Io>("--io", given, std::array{Io::epoll}, read_io);
         },
     .applies = [](Parameters const& p) { return p.io == Io::io_uring; },
     .number = Listed<&RunOptions::ios, &Parameters::io, waits_for_others>::number,
     .set = Listed<&RunOptions::ios, &Parameters::io, waits_for_others>::set,
     .loop = 0,
     .name = [](Parameters const&) { return std::string("/io_uring:1"); },
     .record = [](Json& entry, Parameters const&) { entry["io_uring"] = 1; },
     .key = "io",
     .asked =
         [](RunOptions const& options) {
           Json list = Json::array();
           for (Io const io : options.ios) list.push_back(name_of(io));
           return list;
         }},
};

}  // namespace

std::span<Parameter const> list_parameters() { return kParameters; }

double read_rate(std::string const& text) {
  constexpr std::uint64_t kMostRate_per_s = 1'000'000'000;
  return text == "max" ? 0 : static_cast<double>(parse_count("--rate", text, 1, kMostRate_per_s));
}

Io read_io(std::string const& text) {
  Io const io = choose("--io", text, kIos);
  if (io == Io::io_uring && !why_no_uring().empty())
    throw UsageError("--io io_uring is unavailable here, because " + why_no_uring() + "; write --io epoll");
  return io;
}

std::string spell(Parameters const& p) {
  std::string text;
  for (Parameter const& parameter : kParameters)
    if (parameter.applies(p)) text += parameter.name(p);
  if (p.ranks > 0) text += "/ranks:" + std::to_string(p.ranks) + "/hosts:" + std::to_string(p.hosts);
  return p.against ? text + "/against:1" : text;
}

void record(Json& entry, Parameters const& p) {
  entry["stream"] = name_of(p.stream);
  for (Parameter const& parameter : kParameters)
    if (parameter.applies(p)) parameter.record(entry, p);
  if (p.ranks > 0) {
    entry["ranks"] = p.ranks;
    entry["hosts"] = p.hosts;
  }
  if (p.against) entry["against"] = 1;
}

}  // namespace tally
