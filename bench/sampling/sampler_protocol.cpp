#include "bench/sampling/sampler_protocol.hpp"

#include "bench/base/sha256.hpp"
#include "bench/sampling/cell_sample.hpp"

namespace tally {
namespace {

/// Calls visit(key, member) for every member of a sample that is a plain number.
template <class SampleType, class Visit>
void each_number(SampleType& s, Visit visit) {
  visit("user_s", s.user_s);
  visit("sys_s", s.sys_s);
  visit("peak_rss_bytes", s.peak_rss_bytes);
  visit("ctx_voluntary", s.ctx_voluntary);
  visit("ctx_involuntary", s.ctx_involuntary);
  visit("workers_ran", s.workers_ran);
  visit("events", s.events);
  visit("tasks", s.tasks);
  visit("replies", s.replies);
  visit("malformed", s.malformed);
}

/// The same for those that may be absent.
template <class SampleType, class Visit>
void each_optional(SampleType& s, Visit visit) {
  visit("service_cpu_s", s.service_cpu_s);
  visit("service_busy_s", s.service_busy_s);
  visit("reply_late_p99_s", s.reply_late_p99_s);
}

/// The same for durations.
template <class SampleType, class Visit>
void each_duration(SampleType& s, Visit visit) {
  visit("elapsed_ns", s.elapsed);
  visit("startup_ns", s.startup);
  visit("teardown_ns", s.teardown);
}

}  // namespace

std::optional<std::string> LineBuffer::next() {
  auto const end = bytes_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = bytes_.substr(0, end);
  bytes_.erase(0, end + 1);
  return line;
}

std::string digest(Counts const& counts) {
  constexpr std::size_t kKeys = 1000;
  std::string text = std::to_string(counts.events) + " " + std::to_string(counts.malformed) + " " +
                     std::to_string(counts.checksum);
  for (Counts::WindowTotal const& w : counts.windows())
    text += "\n" + std::to_string(w.window) + " " + std::to_string(w.events) + " " +
            std::to_string(w.distinct_keys);
  for (Counts::KeyCount const& k : counts.totals(kKeys)) text += "\n" + std::to_string(k.count) + " " + k.key;
  return sha256(text);
}

Json sample_to_json(CellSample const& taken) {
  Json json{{"failure", taken.sample.failure}, {"lateness", taken.lateness}};
  each_number(taken.sample, [&](char const* key, auto const& value) { json[key] = value; });
  each_optional(taken.sample, [&](char const* key, auto const& value) {
    if (value) json[key] = *value;
  });
  each_duration(taken.sample, [&](char const* key, auto const& value) { json[key] = value.count(); });
  return json;
}

CellSample sample_from_json(Json const& json) {
  CellSample taken;
  json.at("failure").get_to(taken.sample.failure);
  json.at("lateness").get_to(taken.lateness);
  each_number(taken.sample, [&](char const* key, auto& value) { json.at(key).get_to(value); });
  each_optional(taken.sample, [&](char const* key, auto& value) {
    if (json.contains(key)) value = json.at(key).get<double>();
  });
  each_duration(taken.sample, [&](char const* key, auto& value) {
    value = std::chrono::nanoseconds(json.at(key).get<std::int64_t>());
  });
  return taken;
}

}  // namespace tally
