#include "mpi/rank.hpp"

#include <malloc.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "bench/analysis/sample.hpp"
#include "bench/base/statistics.hpp"
#include "bench/machine/system_limits.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/process/forked_process.hpp"
#include "bench/process/process_account.hpp"
#include "bench/sampling/cell_runner.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/measure.hpp"
#include "mpi/agreement.hpp"
#include "mpi/merge.hpp"
#include "workloads/base/clock.hpp"

namespace tally {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

/// Drawing events, reading a file and counting references takes long, and longer for some.
constexpr std::chrono::minutes kPrepareAtLeast{30};
/// A sequential count that takes longer than so much of the campaign is made of a smaller stream.
constexpr double kReferenceShare = 0.25;
/// As is one whose keys take more than so much of the memory that rank 0 has left.
constexpr double kReferenceMemoryShare = 0.25;
/// What a text key takes beside its characters: its place in a table that is half full.
constexpr double kBytesBesideKey = 64;

}  // namespace

struct Rank::Workload {
  RankPart part;
  Counts expected = Counts::text();  ///< after merging: this rank's part of it
  std::vector<Counts::WindowTotal> windows;
  std::uint64_t events = 0;  ///< of all ranks
};

/// What this rank did in a sample before merging.
struct Rank::OwnRun {
  Counts counts = Counts::text();
  std::string failure;
  nanoseconds count{0}, startup{0}, teardown{0}, late{0};
  ProcessAccount used;
  int workers = 0;
  std::optional<ServiceAccount> service;  ///< its share in this sample
};

Rank::Rank(RunOptions const& options, Plan const& plan, Job const& job, Communicator const& world,
           StopSignals const& stop, RankWatch* watch)
    : options_(options),
      job_(job),
      world_(world),
      stop_(stop),
      watch_(watch),
      streams_(options, start_service(plan), job.hosts) {
  groups_ = form_groups(world, options.ranks, watch, stop);
}

Rank::~Rank() = default;

LookupTarget Rank::start_service(Plan const& plan) {
  int most_workers = 0;
  for (Cell const& cell : plan.cells)
    if (looks_up(cell)) most_workers = std::max(most_workers, cell.workers);
  LookupTarget target;
  if (most_workers == 0) return target;
  all_or_none(world_, job_.hosts, Patience::for_at_most(prepare_within(), &stop_), [&] {
    ServiceConfig config;
    config.keys = options_.keys;
    bool const own_cpu = static_cast<int>(job_.cpus.size()) > most_workers && !job_.shares_cpus;
    config.spin = own_cpu;
    service_shares_cpus_ = !own_cpu;
    service_ = std::make_unique<ServiceProcess>(
        config, own_cpu ? std::vector<int>{job_.cpus.back()} : job_.cpus, stop_);
    target = LookupTarget(service_->address());
  });
  return target;
}

nanoseconds Rank::prepare_within() const {
  return std::max<nanoseconds>(kPrepareAtLeast, options_.time_budget);
}

Communicator const& Rank::group_of(Cell const& cell) const { return groups_.at(cell.ranks); }

std::uint64_t Rank::windows_of(Cell const& cell) const {
  return synthetic_windows(cell.events, options_.window);
}

Rank::Workload& Rank::workload(Cell const& cell) {
  std::string const key = std::string(name_of(cell.stream)) + " " + std::to_string(cell.ranks) + " " +
                          std::to_string(options_.input ? 0 : cell.events) + " " +
                          std::to_string(cell.grain.count());
  auto& found = workloads_[key];
  if (!found) found = std::make_shared<Workload>();
  return *found;
}

Rank::Prepared Rank::prepare(Cell const& cell, double links_per_ns) {
  Communicator const& ranks = group_of(cell);
  if (ranks.empty()) return {};
  Workload& made = workload(cell);
  if (!made.part.cpu && !made.part.lookup) {
    RankDeadline const deadline(watch_, "preparing " + cell.name(), prepare_within());
    auto const patience = Patience::for_at_most(prepare_within() + rank_slack(prepare_within()), &stop_);
    auto const began = Clock::now();
    made.part = streams_.make(cell, cell.events, links_per_ns, ranks, patience);
    all_or_none(ranks, job_.hosts, patience, [&] { made.expected = made.part.reference(); });
    double const own_s = in_seconds(Clock::now() - began);
    made.events = ranks.all_sum(made.expected.events, patience, "counting the events of all ranks");
    double const slowest_s =
        static_cast<double>(ranks.all_max(static_cast<std::uint64_t>(own_s * 1e9), patience, "reference")) *
        1e-9;
    made.windows = merge_over_ranks(made.expected, windows_of(cell), ranks, patience).windows;
    check_reference(cell, made, cell.events, links_per_ns, slowest_s, ranks, patience);
  }
  return {made.events, made.part.input_bytes};
}

void Rank::check_reference(Cell const& cell, Workload& made, std::uint64_t events, double links_per_ns,
                           double parallel_s, Communicator const& ranks, Patience const& patience) {
  constexpr char kComparing[] = "comparing references";
  ReferenceCheck check;
  check.parallel_s = parallel_s;
  auto const digest = [&](Counts& counts) {
    KeyDigest mine;
    if (counts.kind() == KeyKind::text) mine = KeyDigest::of(counts, 1);
    return KeyDigest{ranks.all_sum(mine.one, patience, kComparing),
                     ranks.all_sum(mine.other, patience, kComparing),
                     ranks.all_sum(mine.keys, patience, kComparing)};
  };
  KeyDigest all = digest(made.expected);
  WholeStream whole_stream;
  // What one process would take for it all, drawing or reading it included, is about as long as all ranks
  // took together.
  whole_stream.seconds = parallel_s * ranks.size();
  whole_stream.most_seconds = kReferenceShare * std::chrono::duration<double>(options_.time_budget).count();
  whole_stream.keys = all.keys;
  whole_stream.events = made.events;
  whole_stream.key_bytes = kBytesBesideKey + static_cast<double>(made.part.input_bytes) /
                                                 static_cast<double>(std::max<std::uint64_t>(1, made.events));
  whole_stream.most_bytes = kReferenceMemoryShare * static_cast<double>(read_system_limits().memory.value);
  check.one_in = part_to_check(whole_stream);
  ranks.broadcast(check.one_in, 0, patience, "how the reference is checked");

  Counts smaller = Counts::text();
  if (check.one_in > 1) {
    RankPart const part = streams_.make(cell, events, links_per_ns, ranks, patience, check.one_in);
    all_or_none(ranks, job_.hosts, patience, [&] { smaller = part.reference(); });
    merge_over_ranks(smaller, windows_of(cell), ranks, patience);
    // Text keys are views into the part, which goes.
    if (smaller.kind() == KeyKind::text) {
      Counts kept = Counts::text();
      kept.merge_copying(std::move(smaller));
      smaller = std::move(kept);
    }
    all = digest(smaller);
  }
  Counts& merged = check.one_in > 1 ? smaller : made.expected;
  all_or_none(ranks, job_.hosts, patience, [&] {
    if (ranks.rank() != 0) return;
    auto const began = Clock::now();
    Counts whole = streams_.sequential(cell, events, links_per_ns, ranks.size(), check.one_in);
    check.sequential_s = in_seconds(Clock::now() - began);
    std::string difference;
    if (merged.kind() == KeyKind::text) {
      std::uint64_t const times = options_.text.repeat;
      if (KeyDigest::of(whole, times) != all) difference = "the keys' counts differ";
      if (whole.events * times != merged.events || whole.malformed * times != merged.malformed)
        difference = "expected " + std::to_string(whole.events * times) + " events and " +
                     std::to_string(whole.malformed * times) + " malformed lines, got " +
                     std::to_string(merged.events) + " and " + std::to_string(merged.malformed);
    } else {
      // The whole is counted in pieces, whose coverage and number of tasks add up to the same.
      difference = whole.difference(merged);
    }
    if (!difference.empty())
      throw std::logic_error("the ranks' reference of " + cell.name() +
                             " is not the sequential count, so that nothing can be verified: " + difference);
  });
  checks_[cell.name()] = check;
}

Rank::OwnRun Rank::run(Cell const& cell, Workload const& made, Communicator const& ranks,
                       CommonStart const& common, Patience const& patience, RankDeadline& deadline) {
  OwnRun own;
  Setup const setup = setup_of(cell, job_.cpus);
  std::optional<ServiceAccount> before_service;
  if (service_ && cell.stream == StreamKind::lookup) {
    service_->set_wait({cell.wait, options_.wait_distribution});
    before_service = service_->account();
  }
  pin_process(setup.cpus);
  ProcessAccount at_gate, before = ProcessAccount::now();
  bool passed = false;
  std::exception_ptr not_passed;
  Clock::duration waited{0};  // for the others, which is no start-up
  auto const gate = [&] {
    if (std::exchange(passed, true)) return;
    ProcessAccount const came = ProcessAccount::now();
    auto const came_at = Clock::now();
    deadline.waits();
    try {
      own.late = common.wait(ranks, patience);
    } catch (...) {
      not_passed = std::current_exception();  // and goes on to wait: the one that is late is to be named
    }
    at_gate = ProcessAccount::now();
    at_gate -= came;
    waited = Clock::now() - came_at;
    if (!not_passed) deadline.works_after(waited);
  };
  Stopwatch watch;
  watch.set_gate(gate);
  deadline.works();
  try {
    own.counts = cell.stream == StreamKind::lookup ? cell.model->lookup(*made.part.lookup, setup, watch)
                                                   : cell.model->cpu(*made.part.cpu, setup, watch);
    own.teardown = Clock::now() - watch.stopped();
    own.used = ProcessAccount::now();
    own.used -= before;
    own.used -= at_gate;
    own.failure =
        verdict("", own.counts, watch,
                cell.stream == StreamKind::lookup ? required_of(*cell.model, *made.part.lookup, setup)
                                                  : required_of(*cell.model, *made.part.cpu, setup));
  } catch (...) {
    own.failure = describe_current_exception();
  }
  gate();  // the others wait there, even for one that failed before
  deadline.waits();
  pin_process(job_.cpus);
  if (not_passed) std::rethrow_exception(not_passed);
  own.count = watch.elapsed();
  own.startup = watch.startup() - waited;
  own.workers = watch.workers();
  if (before_service) {
    own.service = service_->account();
    own.service->cpu_s -= before_service->cpu_s;
    own.service->busy_s -= before_service->busy_s;
    for (std::size_t i = 0; i < own.service->lateness.size(); ++i)
      own.service->lateness[i] -= before_service->lateness[i];
  }
  return own;
}

CellSample Rank::sample(Cell const& cell) {
  Communicator const& ranks = group_of(cell);
  CellSample taken;
  if (ranks.empty()) return taken;
  Workload const& made = workload(cell);
  RankDeadline deadline(watch_, cell.name(), options_.sample_timeout);
  auto const patience_from_now = [this] {
    auto patience =
        Patience::for_at_most(options_.sample_timeout + rank_slack(options_.sample_timeout), &stop_);
    patience.sleeping = false;
    return patience;
  };
  auto patience = patience_from_now();
  forget_peak_rss();
  std::vector<std::string> const hosts(job_.hosts.begin(), job_.hosts.begin() + cell.ranks);
  CommonStart const common(ranks, hosts, patience);
  OwnRun own = run(cell, made, ranks, common, patience, deadline);
  patience = patience_from_now();
  std::uint64_t const own_events = own.counts.events;

  try {
    all_or_none(ranks, job_.hosts, patience, [&] {
      if (!own.failure.empty()) throw std::runtime_error(own.failure);
    });
  } catch (RankFailed const& failed) {
    taken.sample.failure = failed.what();
    return taken;
  }
  // Once more together: what a model takes to end its threads is no part of merging. Clocks drift apart while
  // ranks count, some microseconds a second: they are compared anew.
  own.late = std::max(own.late, CommonStart(ranks, hosts, patience).wait(ranks, patience));
  auto const began = Clock::now();
  MergeFigures merged;
  if (ranks.size() > 1)
    merged = merge_over_ranks(own.counts, windows_of(cell), ranks, patience);
  else
    merged.windows = made.windows;
  auto const merge = Clock::now() - began;
  std::uint64_t const peak = peak_rss_bytes();

  try {
    all_or_none(ranks, job_.hosts, patience, [&] {
      std::string difference = made.expected.difference(own.counts);
      auto const same = [](auto const& a, auto const& b) {
        return a.window == b.window && a.events == b.events && a.distinct_keys == b.distinct_keys;
      };
      if (difference.empty() && !std::equal(made.windows.begin(), made.windows.end(), merged.windows.begin(),
                                            merged.windows.end(), same))
        difference = "windows' totals differ";
      if (merged.windows_beyond > 0)
        difference = std::to_string(merged.windows_beyond) + " windows that the stream does not have";
      if (!difference.empty()) throw std::runtime_error("wrong count: " + difference);
    });
  } catch (RankFailed const& failed) {
    taken.sample.failure = failed.what();
    return taken;
  }

  struct Figures {
    std::int64_t count_ns, merge_ns, startup_ns, teardown_ns, late_ns;
    double user_s, sys_s, service_cpu_s, service_busy_s;
    std::uint64_t peak, voluntary, involuntary, events, sent_bytes;
    int cpus, workers;
  };
  Figures const mine{own.count.count(),
                     nanoseconds(merge).count(),
                     own.startup.count(),
                     own.teardown.count(),
                     own.late.count(),
                     own.used.user_s,
                     own.used.sys_s,
                     own.service ? own.service->cpu_s : 0,
                     own.service ? own.service->busy_s : 0,
                     peak,
                     own.used.voluntary,
                     own.used.involuntary,
                     own_events,
                     merged.sent_bytes,
                     static_cast<int>(setup_of(cell, job_.cpus).cpus.size()),
                     own.workers};
  auto const all = ranks.gather(mine, 0, patience, "collecting what ranks measured");
  std::vector<std::uint64_t> lateness;
  if (cell.stream == StreamKind::lookup && service_) {
    lateness = own.service->lateness;
    ranks.sum_to(lateness, 0, patience, "collecting what ranks measured");
  }
  Sample& s = taken.sample;
  std::uint64_t const tasks = own.counts.tasks, replies = own.counts.replies,
                      malformed = own.counts.malformed;
  std::uint64_t const events = own.counts.events;
  own.counts = Counts::text();
  ::malloc_trim(0);
  if (ranks.rank() != 0) return taken;

  TeamFigures team;
  std::vector<double> counts;
  double service_cpu_s = 0, service_busy_s = 0;
  for (std::size_t r = 0; r < all.size(); ++r) {
    Figures const& f = all[r];
    team.count = std::max(team.count, nanoseconds(f.count_ns));
    team.merge = std::max(team.merge, nanoseconds(f.merge_ns));
    team.start_late = std::max(team.start_late, nanoseconds(f.late_ns));
    team.merged_bytes += f.sent_bytes;
    counts.push_back(static_cast<double>(f.count_ns));
    team.ranks.push_back({job_.hosts[r], f.cpus, f.events, nanoseconds(f.count_ns), nanoseconds(f.merge_ns),
                          f.user_s + f.sys_s, f.peak});
    s.startup = std::max(s.startup, nanoseconds(f.startup_ns));
    s.teardown = std::max(s.teardown, nanoseconds(f.teardown_ns));
    s.user_s += f.user_s;
    s.sys_s += f.sys_s;
    s.ctx_voluntary += f.voluntary;
    s.ctx_involuntary += f.involuntary;
    s.peak_rss_bytes = std::max(s.peak_rss_bytes, f.peak);
    s.workers_ran += f.workers;
    service_cpu_s += f.service_cpu_s;
    service_busy_s = std::max(service_busy_s, f.service_busy_s);
  }
  double const median = median_interval(counts).median;
  team.imbalance = median > 0 ? static_cast<double>(team.count.count()) / median : 1;
  s.elapsed = team.count + (ranks.size() > 1 ? team.merge : nanoseconds(0));
  if (ranks.size() == 1) team.merge = nanoseconds(0);
  s.events = events;
  s.tasks = tasks;
  s.replies = replies;
  s.malformed = malformed;
  s.team = std::move(team);
  if (!lateness.empty()) {
    s.service_cpu_s = service_cpu_s;
    s.service_busy_s = service_busy_s;
    s.reply_late_p99_s = lateness_p99_s(lateness);
    taken.lateness = std::move(lateness);
  }
  return taken;
}

}  // namespace tally
