#include "bench/advice/result_file.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <tuple>

#include "bench/analysis/drawn_waits.hpp"
#include "bench/base/json.hpp"
#include "bench/base/sha256.hpp"
#include "bench/base/version.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/plan/run_options.hpp"

namespace tally {
namespace {

std::string content_of(std::filesystem::path const& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) throw NoResultFile(path.string() + ": cannot be read");
  return content;
}

/// Whether the ID in `text` is the hash of the rest, as bench/output/record.cpp makes it.
bool is_unchanged(std::string text, std::string const& id) {
  std::string const key = "\"result_id\": \"";
  auto const at = text.find(key);
  if (at == std::string::npos || text.compare(at + key.size(), id.size(), id) != 0) return false;
  text.erase(at + key.size(), id.size());
  return sha256(text).substr(0, 16) == id;
}

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  std::size_t const n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/// The samples of a cell, until their medians are taken.
struct Samples {
  MeasuredCell cell;
  std::vector<double> rates, cpu_s, memory;
};

Point point_of(Json const& entry, StreamKind stream) {
  Point point{.stream = stream,
              .workers = entry.at("workers").get<int>(),
              .grain_s = entry.at("grain_ns").get<double>() * 1e-9};
  if (stream == StreamKind::cpu) {
    point.batch = entry.at("batch").get<std::uint64_t>();
  } else {
    point.wait_s = entry.at("wait_ns").get<double>() * 1e-9;
    point.in_flight = entry.at("in_flight").get<int>();
  }
  return point;
}

void read_cells(Json const& entries, ResultFile& file) {
  std::vector<Samples> all;
  std::map<std::string, std::size_t> index;
  for (Json const& entry : entries) {
    std::string const name = entry.at("run_name").get<std::string>();
    std::string const stream = entry.at("stream").get<std::string>();
    bool const waits = stream == "lookup";
    if (entry.contains("against") || entry.contains("io_uring") || (stream != "cpu" && !waits)) continue;
    if (entry.value("error_occurred", false)) {
      std::string const why = entry.value("error_message", "");
      if (file.failed.empty() || file.failed.back().first != name) file.failed.emplace_back(name, why);
      continue;
    }
    if (entry.at("run_type") != "iteration" || entry.at("model") == "limit") continue;
    // What a task costs is not in cells where a model cuts as it likes.
    if (entry.value("batch", Json()) == kAutoBatchWord) continue;
    auto const [place, is_new] = index.emplace(name, all.size());
    if (is_new) {
      Samples& samples = all.emplace_back();
      samples.cell.name = name;
      samples.cell.model = entry.at("model").get<std::string>();
      samples.cell.point = point_of(entry, waits ? StreamKind::lookup : StreamKind::cpu);
      samples.cell.events = entry.at("events_counted").get<std::uint64_t>();
    }
    Samples& samples = all[place->second];
    double const events = entry.at("events_counted").get<double>();
    if (!entry.at("verified").get<bool>() || events <= 0) continue;
    samples.rates.push_back(entry.at("items_per_second").get<double>());
    samples.cpu_s.push_back(entry.at("cpu_s").get<double>() / events);
    samples.memory.push_back(entry.at("peak_rss_bytes").get<double>());
  }
  std::map<std::tuple<double, std::uint64_t, int>, DrawnWaits> drawn;
  for (Samples& samples : all) {
    if (samples.rates.empty()) continue;
    Point const& point = samples.cell.point;
    samples.cell.items_per_second = median_of(samples.rates);
    if (point.wait_s > 0 && file.waits_are_ours) {
      WaitSpec const wait{std::chrono::nanoseconds(std::llround(point.wait_s * 1e9)), file.wait_distribution};
      auto const known = drawn
                             .try_emplace({point.wait_s, samples.cell.events, point.in_flight}, wait,
                                          file.seed, samples.cell.events, point.in_flight)
                             .first;
      samples.cell.items_per_second = known->second.in_long_run(samples.cell.items_per_second);
    }
    samples.cell.cpu_s_per_event = median_of(samples.cpu_s);
    samples.cell.peak_rss_bytes = median_of(samples.memory);
    if (samples.cell.items_per_second > 0) file.cells.push_back(std::move(samples.cell));
  }
}

}  // namespace

ResultFile read_result_file(std::filesystem::path const& path) {
  std::string const text = content_of(path);
  try {
    Json const whole = Json::parse(text);
    Json const& context = whole.at("context");
    ResultFile file;
    file.path = path.string();
    if (!context.contains("tally_version") || !context.contains("result_id"))
      throw NoResultFile(file.path + ": no result of 'tally run'");
    if (context.value("json_schema_version", 1) < kJsonSchemaVersion)
      throw NoResultFile(
          file.path +
          ": was measured when models merged batches into tasks, so that it does not say what a task "
          "costs; measure again");
    file.id = context.at("result_id").get<std::string>();
    if (!is_unchanged(text, file.id))
      throw NoResultFile(file.path +
                         ": was changed since it was written; measure again, or take the original");
    file.date = context.at("date").get<std::string>();
    file.suite = "tally " + context.at("tally_version").get<std::string>() + " " +
                 context.value("tally_commit", std::string("of no commit")).substr(0, 12);
    file.host = context.value("host_name", "");
    file.cpu_model = context.value("cpu_model", kUnknownCpu);
    file.cpus = static_cast<int>(context.at("cpus_usable").size());
    Json const factors = context.value("factors", Json::object());
    std::string const distribution = factors.value("wait_distribution", "exponential");
    auto const known = std::find_if(kWaitDistributions.begin(), kWaitDistributions.end(),
                                    [&](auto const& named) { return named.first == distribution; });
    if (known == kWaitDistributions.end())
      throw NoResultFile(file.path + ": waits that are " + distribution +
                         ", of which this version knows nothing; take the one that wrote it");
    file.wait_distribution = known->second;
    file.idle = factors.value("idle", "halt") == name_of(Idle::poll) ? Idle::poll : Idle::halt;
    file.seed = factors.value("seed", std::uint64_t{1});
    file.waits_are_ours = factors.value("service", "embedded") == "embedded";
    file.unfit = context.value("unfit", "");
    file.noise_floor = context.value("noise_floor", Json::object()).value("relative_half_width", 0.0);
    read_cells(whole.at("benchmarks"), file);
    return file;
  } catch (Json::Error const& e) {
    throw NoResultFile(path.string() + ": no whole result file: " + e.what());
  }
}

}  // namespace tally
