#include "bench/advice/advice.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "bench/base/statistics.hpp"
#include "bench/base/units.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/plan/slo.hpp"

namespace tally {
namespace {

/// Beyond that the wait is said to limit for good: no model is asked for as many in flight.
constexpr double kNeverFull = 1e6;

std::string percentile_name(Slo const& slo) {
  std::string const text = spell(slo);
  return text.substr(0, text.find('='));
}

std::string why_of(Point const& point, Prediction const& p, double busy_s) {
  std::string const event =
      format_seconds(busy_s) + " of CPU an event, " +
      (point.grain_s > 0 ? format_seconds(point.grain_s) + " of it work" : "no work in it");
  if (point.stream == StreamKind::cpu) return "limited by CPU: " + event;
  switch (p.limit) {
    case PointLimit::wait:
      return p.wait_limits_up_to > kNeverFull
                 ? "limited by the wait"
                 : "limited by the wait up to " + format_scaled(p.wait_limits_up_to) +
                       " in flight, then by CPU";
    case PointLimit::cpu:
      return "limited by CPU from " + format_scaled(p.wait_limits_up_to) + " in flight on: " + event;
    case PointLimit::service:
      return "limited by the lookup service from " + format_scaled(p.wait_limits_up_to) + " in flight on";
  }
  return "";
}

/// Why the model is out of the question; empty if it is not.
std::string excluded(Question const& question, ModelAdvice const& advice) {
  if (question.slo && advice.percentile_s) {
    double const most_s = std::chrono::duration<double>(question.slo->latency).count();
    if (*advice.percentile_s > most_s)
      return percentile_name(*question.slo) + " would be " + format_seconds(*advice.percentile_s) +
             ", over " + format_seconds(most_s);
  }
  if (question.memory_bytes && advice.prediction->memory_bytes > static_cast<double>(*question.memory_bytes))
    return "would take " + format_bytes(advice.prediction->memory_bytes) + " of memory, over " +
           format_bytes(static_cast<double>(*question.memory_bytes));
  return "";
}

}  // namespace

Advice advise(std::vector<ResultFile> const& files, Question const& question) {
  std::map<std::string, std::vector<MeasuredCell>> measured;
  for (ResultFile const& file : files)
    for (MeasuredCell const& cell : file.cells)
      if (cell.point.stream == question.point.stream) measured[cell.model].push_back(cell);
  Advice advice;
  ModelAdvice const* first = nullptr;
  std::map<std::string, Distance> distances;
  for (auto& [model, cells] : measured) {
    ModelAdvice& m = advice.models.emplace_back();
    m.model = model;
    if (cells.size() < CostModel::kLeastCells) {
      m.why = "measured in " + std::to_string(cells.size()) + " cells, of which it takes " +
              std::to_string(CostModel::kLeastCells);
      continue;
    }
    CostModel const costs(cells, files.front().cpus);
    m.prediction = costs.predict(question.point);
    m.busy_s = costs.costs().busy_s(question.point);
    m.typical_factor = costs.typical_factor();
    distances[model] = costs.distance(question.point);
    if (question.slo && question.point.stream == StreamKind::lookup)
      m.percentile_s =
          m.prediction->latency_s +
          question.point.wait_s * (wait_quantile(files.front().wait_distribution, question.slo->percent) - 1);
    m.why = why_of(question.point, *m.prediction, m.busy_s);
    if (std::string const out = excluded(question, m); !out.empty()) {
      m.why = out;
      m.rank = -1;
    }
  }
  if (std::none_of(advice.models.begin(), advice.models.end(),
                   [](ModelAdvice const& m) { return m.prediction.has_value(); }))
    throw std::invalid_argument("no model was measured in enough cells of " +
                                std::string(name_of(question.point.stream)));
  auto const place = [](ModelAdvice const& m) { return !m.prediction ? 2 : m.rank < 0 ? 1 : 0; };
  std::stable_sort(advice.models.begin(), advice.models.end(),
                   [&](ModelAdvice const& a, ModelAdvice const& b) {
                     if (place(a) != place(b)) return place(a) < place(b);
                     return a.prediction && a.prediction->items_per_second > b.prediction->items_per_second;
                   });
  int rank = 0;
  for (ModelAdvice& m : advice.models) {
    if (place(m) > 0) {
      m.rank = 0;
      continue;
    }
    ++rank;
    m.shares_rank = first != nullptr && m.prediction->items_per_second >= first->prediction->low;
    m.rank = m.shares_rank ? first->rank : rank;
    if (!m.shares_rank) first = &m;
  }
  // Models are compared on the same machine, whatever its speed. What is claimed of one alone is not surer
  // than that.
  double floor = 0;
  for (ResultFile const& file : files) floor = std::max(floor, file.noise_floor);
  for (ModelAdvice& m : advice.models) {
    if (!m.prediction) continue;
    Interval const rate{
        .median = m.prediction->items_per_second, .low = m.prediction->low, .high = m.prediction->high};
    Interval const claim = rate.no_narrower_than(floor);
    m.prediction->low = claim.low;
    m.prediction->high = claim.high;
  }
  advice.distance = distances[advice.models.front().model];
  if (question.slo && question.point.stream == StreamKind::lookup) {
    double const least_s =
        question.point.wait_s * wait_quantile(files.front().wait_distribution, question.slo->percent);
    double const most_s = std::chrono::duration<double>(question.slo->latency).count();
    if (least_s > most_s)
      advice.contradiction = "no model can: " + percentile_name(*question.slo) + " of the wait alone is " +
                             format_seconds(least_s) + " (" +
                             std::string(name_of(files.front().wait_distribution)) + ", mean " +
                             format_seconds(question.point.wait_s) + "); ask for more than that";
  }
  return advice;
}

}  // namespace tally
