
#include "bench/base/console.hpp"
#include "bench/base/json.hpp"
#include "bench/base/lists.hpp"
#include "bench/base/units.hpp"
#include "bench/cli/event_options.hpp"
#include "bench/commands/commands.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/defaults.hpp"
#include "bench/plan/parameter_table.hpp"
#include "workloads/base/clock.hpp"
#include "workloads/ingest/load_generator.hpp"

namespace tally {
namespace {

constexpr std::uint64_t kMostLoadEvents = 1ULL << 32;

Json load_json(LoadAccount const& account, LoadSpec const& spec, double closed_s) {
  Json json{{"events", account.events},
            {"bytes", account.bytes},
            {"sends", account.sends},
            {"waits", account.waits},
            {"took_s", static_cast<double>(account.last_sent_ns - account.began_ns) * 1e-9},
            {"achieved_per_s", account.achieved_per_s()},
            {"closed_s", closed_s}};
  if (spec.rate_per_s == 0) return json;
  json["offered_per_s"] = spec.rate_per_s;
  json["late_p50_s"] = in_seconds(account.lateness.at_percentile(50));
  json["late_p99_s"] = in_seconds(account.lateness.at_percentile(99));
  json["late_max_s"] = in_seconds(account.lateness.greatest());
  return json;
}

std::string as_text(LoadAccount const& account, LoadSpec const& spec) {
  std::string text = format_scaled(static_cast<double>(account.events)) + " events sent, " +
                     format_scaled(account.achieved_per_s()) + " events/s";
  if (spec.rate_per_s > 0)
    text += " of " + format_scaled(spec.rate_per_s) + " offered; sends late by " +
            format_seconds(in_seconds(account.lateness.at_percentile(50))) + " (median), " +
            format_seconds(in_seconds(account.lateness.at_percentile(99))) + " (p99), " +
            format_seconds(in_seconds(account.lateness.greatest())) + " at most";
  if (account.waits > 0) text += "; the server made senders wait " + std::to_string(account.waits) + " times";
  return text + "\n";
}

}  // namespace

int load_command(Arguments const& arguments) {
  ArgumentParser parser(
      "tally load", "Sends synthetic events to a server on this machine, on a schedule fixed in advance.");
  auto const& port = parser.option("--port", "P", "where the server listens, on 127.0.0.1");
  auto const& connections = parser.option(
      "--connections", "N", "how many send (default " + std::to_string(defaults::kConnections[0]) + ")");
  auto const& rate =
      parser.option("--rate", "R|max", "events a second, of all connections together (default: max)");
  auto const& events = parser.option("--events", "N", "how many (default 1M)");
  auto const& fields = parser.option(
      "--lines", "WHAT", "key, time (time<TAB>key), or stamp (and when it was due; default at a rate)");
  KeyArguments const keys(parser);
  LoadArguments const load(parser);
  bool const& json = parser.flag("--json", "as JSON");
  parser.parse(arguments);

  if (!port) throw UsageError("--port is missing: write where the server listens");
  LoadSpec spec;
  spec.events = events ? parse_count("--events", *events, 0, kMostLoadEvents) : 1'000'000;
  spec.connections = connections
                         ? static_cast<int>(parse_count("--connections", *connections, 1, kMostConnections))
                         : defaults::kConnections[0];
  spec.rate_per_s = rate ? read_rate(*rate) : 0;
  load.read(spec);
  enum class Lines { key, time, stamp };
  static constexpr std::array<std::pair<std::string_view, Lines>, 3> kLines{
      {{"key", Lines::key}, {"time", Lines::time}, {"stamp", Lines::stamp}}};
  Lines const lines = fields                ? choose("--lines", *fields, kLines)
                      : spec.rate_per_s > 0 ? Lines::stamp
                                            : Lines::key;
  if (lines == Lines::stamp && spec.rate_per_s == 0)
    throw UsageError("--lines stamp says when events are due: add --rate R");
  spec.timed = lines != Lines::key;
  spec.stamped = lines == Lines::stamp;
  KeySpec const key_spec = keys.read();
  spec.seed = key_spec.seed;

  raise_open_files();
  SyntheticEvents const drawn(key_spec, spec.events);
  LoadSchedule const schedule(spec, drawn);
  auto const account = std::make_unique<LoadAccount>();
  ServiceAddress server;
  server.port = static_cast<std::uint16_t>(parse_count("--port", *port, 1, 65535));
  LoadGenerator generator(schedule, server, *account);
  generator.connect();
  generator.send(std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
  generator.wait_for_end();
  std::int64_t const closed_ns = std::chrono::steady_clock::now().time_since_epoch().count();
  // Until the server had read all, and closed every connection.
  double const closed_s = static_cast<double>(closed_ns - account->began_ns) * 1e-9;
  write_output(json ? load_json(*account, spec, closed_s).dump() + "\n" : as_text(*account, spec));
  return 0;
}

}  // namespace tally
