#include "bench/output/manifest.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>

#include "bench/base/sha256.hpp"
#include "bench/base/version.hpp"
#include "bench/machine/machine.hpp"
#include "bench/output/build_config.hpp"
#include "bench/output/build_tree.hpp"
#include "bench/plan/external_models.hpp"
#include "bench/plan/parameter_table.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {
namespace {

/// Of the keys and meanings in Tally's result files; greater where a reader of the older would be misled.
constexpr int kResultSchema = 1;

std::string date_now() {
  std::time_t const now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  char text[40];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &local);
  std::string date = text;
  return date.insert(date.size() - 2, ":");  // ISO 8601 wants +hh:mm
}

std::string_view name_of(Arrivals arrivals) {
  switch (arrivals) {
    case Arrivals::poisson:
      return "poisson";
    case Arrivals::uniform:
      return "uniform";
    case Arrivals::bursts:
      return "bursts";
  }
  return "unknown";
}

Json factors(RunOptions const& options, Service const& service) {
  Json f;
  f["models"] = Json::array();
  for (Model const* const model : options.models) f["models"].push_back(model->name);
  f["streams"] = Json::array();
  for (StreamKind const stream : options.streams) f["streams"].push_back(name_of(stream));
  f["events"] = options.events ? Json(*options.events) : Json("auto");
  f["sample_length_ns"] = options.sample_length.count();
  f["keys"] = options.keys.keys;
  f["skew"] = options.keys.skew;
  f["seed"] = options.keys.seed;
  f["window_ns"] = options.window.count();
  for (Parameter const& parameter : list_parameters())
    if (Json asked = parameter.asked(options); !asked.is_null())
      f[std::string(parameter.key)] = std::move(asked);
  f["wait_distribution"] = name_of(options.wait_distribution);
  f["service"] = service.name;
  if (std::find(options.streams.begin(), options.streams.end(), StreamKind::ingest) !=
      options.streams.end()) {
    f["arrivals"] = name_of(options.arrivals);
    f["coalesce_ns"] = options.coalesce.count();
    f["disorder_ns"] = options.disorder.count();
  }
  f["idle"] = name_of(options.idle);
  f["min_rounds"] = options.min_rounds;
  f["max_rounds"] = options.max_rounds;
  if (options.outrun_by) f["outrun_by"] = *options.outrun_by;
  f["ci"] = options.ci;
  f["confidence"] = kConfidence;
  f["time_budget_ns"] = options.time_budget.count();
  f["sample_timeout_ns"] = options.sample_timeout.count();
  f["min_warmup_ns"] = options.benchmark.min_warmup.count();
  if (!options.against.empty()) f["against"] = options.against.string();
  if (!options.ranks.empty()) {
    f["ranks"] = options.ranks;
    f["scaling"] = options.scaling == Scaling::weak     ? "weak"
                   : options.scaling == Scaling::strong ? "strong"
                                                        : "none";
  }
  f["order_seed"] = options.order_seed;
  f["shuffled"] = options.shuffle;
  return f;
}

Json describe_input(RunOptions const& options, InputFile const& input) {
  TextSpec const& spec = options.text;
  return {{"path", input.path().string()},
          {"sha256", hash_or_reason(input.path())},
          {"bytes", input.text().size()},
          {"gzip", input.compression() == Compression::gzip},
          {"zstd", input.compression() == Compression::zstd},
          {"format", name_of(spec.format)},
          {"key", spec.key},
          {"key_regex", spec.key_regex},
          {"time", spec.time},
          {"time_format", spec.time_format},
          {"header", spec.format == TextFormat::csv && spec.header},
          {"repeat", spec.repeat}};
}

Json describe_database(RedisDatabase const& database) {
  RedisFacts const& facts = database.facts();
  Json json{{"url", database.url().shown()},
            {"address", describe(database.address())},
            {"redis_version", facts.version},
            {"mode", facts.mode},
            {"role", facts.role},
            {"maxmemory_bytes", facts.maxmemory_bytes},
            {"maxmemory_policy", facts.maxmemory_policy}};
  if (facts.io_threads) json["io_threads"] = *facts.io_threads;
  if (!facts.cpus.empty()) json["cpus_allowed"] = facts.cpus;
  json["prefix"] = database.prefix();
  json["slots"] = database.slots();
  return json;
}

Json build() {
  return {{"type", build_config::kType},
          {"compiler", build_config::kCompiler},
          {"flags", build_config::kFlags},
          {"libraries",
           {{"google_benchmark", build_config::kBenchmark},
            {"onetbb", build_config::kTbb},
            {"boost", build_config::kBoost},
            {"cli11", build_config::kCli11},
            {"nlohmann_json", build_config::kJson},
            {"zlib", build_config::kZlib},
            {"hiredis", build_config::kHiredis},
            {"simdjson", build_config::kSimdjson}}}};
}

}  // namespace

Json describe_program() {
  std::filesystem::path const self = "/proc/self/exe";
  std::error_code unreadable;
  Json context;
  context["date"] = date_now();
  context["executable"] = std::filesystem::read_symlink(self, unreadable).string();
  context.update(describe_machine());
  // As Google Benchmark's files have it; but of this build, since the library times nothing here.
  context["library_build_type"] = build_config::kOptimized ? "release" : "debug";
  context["json_schema_version"] = kJsonSchemaVersion;
  context["tally_result_schema"] = kResultSchema;
  context["tally_version"] = kVersion;
  context["tally_commit"] = build_tree::kCommit;
  context["tally_tree"] = build_tree::kState;
  static std::string const kOwnHash = hash_or_reason(self);  // does not change while it runs
  context["binary_sha256"] = kOwnHash;
  context["build"] = build();
  return context;
}

std::string make_manifest(RunOptions const& options, InputFile const* input, double links_per_ns,
                          Service const& service) {
  Json context = describe_program();
  context["command_line"] = {options.ranks.empty() ? "tally" : "tally-mpi", options.command};
  for (std::string const& argument : options.command_line) context["command_line"].push_back(argument);
  context["factors"] = factors(options, service);
  if (service.database != nullptr) context["database"] = describe_database(*service.database);
  if (links_per_ns > 0) context["grain_links_per_ns"] = links_per_ns;
  if (input) context["input"] = describe_input(options, *input);
  if (options.external) context["external"] = describe_external(*options.external);
  for (auto const& [key, value] : options.benchmark.context)
    if (!context.contains(key)) context[key] = value;
  return context.dump();
}

}  // namespace tally
