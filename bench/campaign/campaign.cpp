#include "bench/campaign/campaign.hpp"

#include <malloc.h>

#include <algorithm>
#include <stdexcept>

#include "bench/campaign/engine.hpp"
#include "bench/campaign/event_numbers.hpp"
#include "bench/campaign/rate_search.hpp"
#include "bench/campaign/rounds.hpp"
#include "bench/machine/machine.hpp"
#include "bench/machine/reference_figures.hpp"
#include "bench/machine/reference_work.hpp"
#include "bench/output/latency_files.hpp"
#include "bench/output/library_report.hpp"
#include "bench/output/manifest.hpp"
#include "bench/output/record.hpp"
#include "bench/plan/bound.hpp"
#include "bench/plan/plan.hpp"
#include "bench/plan/run_options.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/local_sampler.hpp"
#include "bench/sampling/sampler.hpp"
#include "bench/sampling/two_builds.hpp"
#include "workloads/base/clock.hpp"

namespace tally {
namespace {

using Clock = std::chrono::steady_clock;

bool needs_grain(Plan const& plan) {
  return std::any_of(plan.cells.begin(), plan.cells.end(),
                     [](Cell const& cell) { return cell.grain.count() > 0; });
}

class Campaign {
 public:
  Campaign(RunOptions const& options, Plan const& plan, Sampler& sampler, StopSignals const& stop,
           Progress& progress, Grow const* grow)
      : grow_(grow),
        sampler_(sampler),
        local_(sampler.local()),
        stop_(stop),
        progress_(progress),
        plan_(sampler.complete(plan)),
        engine_(options.benchmark, plan_),
        took_(plan_.cells.size(), Clock::duration::zero()) {
    result_.plan = plan_;
    result_.options = options;
    if (needs_grain(plan)) {
      progress_.say("calibrating the grain");
      local_.set_links_per_ns(calibrate_links_per_ns(worker_cpus(), stop_, options.reference));
    }
    result_.links_per_ns = local_.links_per_ns();
    result_.reference_cpus = static_cast<int>(worker_cpus().size());
    result_.input_bytes = sampler_.input_bytes();
    {
      StopSignals::ExitAtOnce const at_once(stop_);
      result_.manifest =
          make_manifest(options, local_.input(), result_.links_per_ns,
                        {local_.runner().lookups().name(), local_.runner().lookups().database()});
      result_.on_database = local_.runner().lookups().database() != nullptr;
    }
    describe_sampler();
    result_.ranks_share_cpus = sampler_.shares_cpus();
    for (Cell const& cell : plan_.cells) result_.cells.emplace_back().cell = cell;
  }

  CampaignResult run() {
    auto const machine_before = MachineTime::now();
    ProcessTimes const processes_before;
    try {
      settle_numbers();
      warm_up();
      rounds();
      while (grow_ != nullptr && add((*grow_)(result_))) rounds();
    } catch (Interrupted const&) {
      result_.interrupted = true;
      close_all(result_, Closed::interrupted);
    } catch (SamplerLost const& lost) {
      note_lost(lost.what());
    }
    describe_sampler();  // with what it found of the references
    if (auto const after = MachineTime::now();
        after && machine_before && after->total > machine_before->total)
      result_.steal_share = (after->stolen - machine_before->stolen) / (after->total - machine_before->total);
    result_.others = busy_processes(processes_before, ProcessTimes());
    result_.load_after = load_averages();
    result_.keys_left = local_.runner().lookups().remove_keys();
    write_results();
    write_other_files();
    return std::move(result_);
  }

 private:
  std::vector<int> const& worker_cpus() const noexcept { return local_.runner().worker_cpus(); }

  void describe_sampler() {
    auto manifest = Json::parse(result_.manifest);
    manifest.update(sampler_.describe());
    result_.manifest = manifest.dump();
  }

  /// Which ends the campaign, and says nothing against what was counted and verified before.
  void note_lost(std::string const& what) {
    result_.lost = what + (measuring_ ? ", in " + result_.cells[*measuring_].cell.name() : "");
    progress_.warn(result_.lost);
    close_all(result_, Closed::team_lost);
  }

  /// Takes in what is to be measured next. False if that is nothing, or there is no time.
  bool add(More more) {
    if ((more.plan.cells.empty() && more.again.empty()) || budget_spent()) return false;
    for (std::size_t const i : more.again)
      if (result_.cells.at(i).failure.empty()) result_.cells[i].closed = Closed::open;
    if (!more.plan.cells.empty()) add_cells(std::move(more.plan));
    return true;
  }

  void add_cells(Plan more) {
    std::size_t const first = result_.cells.size();
    engine_.add(more.cells);
    took_.resize(first + more.cells.size(), Clock::duration::zero());
    for (Cell const& cell : more.cells) {
      result_.plan.cells.push_back(cell);
      result_.cells.emplace_back().cell = cell;
    }
    settle_numbers(more, first);
    for (Group& group : more.groups) {
      for (std::size_t& cell : group.cells) cell += first;
      result_.plan.groups.push_back(std::move(group));
    }
  }

  /// Numbers of events, references and bounds: all that is known before the first round.
  void settle_numbers() {
    if (result_.options.slo) search_rates();
    Plan own = result_.plan;
    std::erase_if(own.groups, [](Group const& group) { return group.against; });
    std::erase_if(own.cells, [](Cell const& cell) { return cell.against; });  // which stand last
    settle_numbers(own, 0);
  }

  /// The same of the cells from `first` on, which are those of `part`, and the same of another build.
  void settle_numbers(Plan const& part, std::size_t first) {
    auto const numbers = choose_numbers(result_.options, part, local_, progress_);
    std::vector<Cell> cells;
    for (std::size_t i = first; i < result_.cells.size(); ++i) {
      Pair const* const pair = result_.plan.pair_of(i);
      Cell& cell = cells.emplace_back(result_.cells[i].cell);
      cell.events = sampler_.events_of(cell, numbers[pair ? pair->here : i - first]);
    }
    auto prepared = sampler_.prepare(cells);
    for (std::size_t i = first; i < result_.cells.size(); ++i) {
      CellResult& result = result_.cells[i];
      PreparedCell& known = prepared[i - first];
      result.cell.events = result_.plan.cells[i].events = known.events;
      result.drawn_waits = std::move(known.drawn_waits);
      // A rate that was searched for is what the cell could do, and bounds nothing.
      Cell bounded = result.cell;
      if (result.slo) bounded.rate_per_s = 0;
      result.analytic_bound =
          analytic_bound(bounded, local_.runner().cpus_of(result.cell), known.wait_s) * ranks_of(result.cell);
    }
    result_.input_bytes = sampler_.input_bytes();
  }

  /// Finds the rate of every cell, at which its rounds then measure it.
  void search_rates() {
    for (std::size_t i = 0; i < result_.cells.size(); ++i) {
      CellResult& result = result_.cells[i];
      try {
        result.slo = search_rate(result.cell, result_.options, local_, progress_);
      } catch (SearchFailed const& failed) {
        result.closed = Closed::failed;
        result.failure = failed.what();
        progress_.warn(result.cell.name() + ": " + result.failure);
        continue;
      }
      if (result.slo->rate_per_s)
        result_.plan.cells[i].rate_per_s = result.cell.rate_per_s = *result.slo->rate_per_s;
      else
        result.closed = Closed::no_rate;
    }
    budget_from_ = Clock::now();  // searching is what was asked for; the budget is for the rounds
  }

  CellSample take(std::size_t index) {
    CellSample taken;
    measuring_ = index;
    taken.sample = engine_.sample(index, [&] {
      taken = sampler_.sample(result_.cells[index].cell);
      return taken.sample;
    });
    measuring_.reset();
    return taken;
  }

  /// Samples that are not recorded, of each cell for as long as asked for.
  void warm_up() {
    auto const length = result_.options.benchmark.min_warmup;
    if (length.count() == 0) return;
    for (std::size_t const i : open_cells(result_)) {
      progress_.say("warm-up of " + result_.cells[i].cell.name());
      auto const until = Clock::now() + length;
      while (Clock::now() < until && take(i).sample.failure.empty()) {
      }
    }
  }

  void rounds() {
    int const first = result_.rounds;
    for (int round = first;; ++round) {
      auto const open = open_cells(result_);
      if (open.empty()) return;
      if (round > first && !fits_budget(open)) return close_all(result_, Closed::time_budget);
      bool const whole = run_round(round, open);
      if (!whole) return close_all(result_, Closed::time_budget);
      close_outrun(result_);
      close_cells(result_, round - first + 1);
      write_results();
      progress_.round_done(state(round, open.size(), open.size()));
    }
  }

  /// Runs every open cell once. False if the time budget ended it early, which the first round does not heed.
  bool run_round(int round, std::vector<std::size_t> const& open) {
    result_.rounds = round + 1;
    // The reference computation is a cell like the others, at the index after theirs.
    std::size_t const reference = result_.cells.size();
    auto cells = open;
    cells.push_back(reference);
    std::uint64_t const seed = result_.options.order_seed;
    auto const order =
        with_twins(result_.options.shuffle ? shuffled(cells, seed, round) : cells, result_.plan, seed, round);
    for (std::size_t place = 0; place < order.size(); ++place) {
      if (round > 0 && budget_spent() && !completes_pair(order, place)) return false;
      if (order[place] == reference) {
        take_reference(round, static_cast<int>(place));
        continue;
      }
      CellResult& result = result_.cells[order[place]];
      Progress::State now = state(round, place + 1, order.size());
      std::string const name = result.cell.name();
      now.cell = name;
      progress_.sample(now);
      auto const began = Clock::now();
      CellSample taken = take(order[place]);
      took_[order[place]] = Clock::now() - began;
      taken.sample.round = round;
      taken.sample.order = static_cast<int>(place);
      taken.sample.started_s = in_seconds(began - began_);
      keep(result, std::move(taken));
    }
    return true;
  }

  /// Whether the cell at `place` is the second of a pair: without it, the first would be for no use.
  bool completes_pair(std::vector<std::size_t> const& order, std::size_t place) const {
    Pair const* const pair = result_.plan.pair_of(order[place]);
    return pair && place > 0 && result_.plan.pair_of(order[place - 1]) == pair;
  }

  void take_reference(int round, int place) {
    auto const began = Clock::now();
    auto sample = run_reference(worker_cpus(), stop_, result_.options.reference);
    if (!sample) throw Interrupted("interrupted");
    sample->round = round;
    sample->order = place;
    sample->started_s = in_seconds(began - began_);
    result_.reference.push_back(*sample);
  }

  void keep(CellResult& result, CellSample taken) {
    result.lateness.resize(std::max(result.lateness.size(), taken.lateness.size()));
    for (std::size_t i = 0; i < taken.lateness.size(); ++i) result.lateness[i] += taken.lateness[i];
    merge(result.corrected, taken.corrected);
    merge(result.uncorrected, taken.uncorrected);
    if (!taken.sample.failure.empty()) {
      result.closed = Closed::failed;
      result.failure = taken.sample.failure;
      progress_.warn(result.cell.name() + ": " + result.failure);
    }
    result.samples.push_back(std::move(taken.sample));
  }

  static void merge(std::shared_ptr<LatencyHistogram>& all,
                    std::shared_ptr<LatencyHistogram const> const& one) {
    if (!one) return;
    if (!all) all = make_latencies();
    all->merge(*one);
  }

  /// Of the time budget.
  Clock::duration spent() const { return Clock::now() - budget_from_; }
  bool budget_spent() const {
    return result_.options.time_budget.count() > 0 && spent() >= result_.options.time_budget;
  }
  Clock::duration round_takes(std::vector<std::size_t> const& cells) const {
    Clock::duration sum{0};
    for (std::size_t const i : cells) sum += took_[i];
    return sum;
  }
  /// A round that could not be ended would leave cells with a sample more than others for no use.
  bool fits_budget(std::vector<std::size_t> const& open) const {
    return result_.options.time_budget.count() <= 0 ||
           spent() + round_takes(open) <= result_.options.time_budget;
  }

  Progress::State state(int round, std::size_t sample, std::size_t samples) const {
    auto const open = open_cells(result_);
    Progress::State now;
    now.round = round + 1;
    now.max_rounds = result_.options.max_rounds;
    now.sample = sample;
    now.samples = samples;
    now.open = open.size();
    now.cells = result_.cells.size();
    double const of_round = static_cast<double>(sample) / static_cast<double>(samples);
    double left = in_seconds(round_takes(open)) * (result_.options.max_rounds - round - of_round);
    if (round == 0)  // nothing but this round so far: the cells that ran stand for those that did not
      left = in_seconds(round_takes(open)) * (result_.options.max_rounds / std::max(of_round, 0.01) - 1);
    if (result_.options.time_budget.count() > 0)
      left = std::min(left, std::max(0.0, in_seconds(result_.options.time_budget - spent())));
    if (open.empty()) left = 0;
    now.left = std::chrono::seconds(static_cast<std::int64_t>(left));
    double const done = in_seconds(spent());
    now.done = done / std::max(done + left, 1e-9);
    return now;
  }

  void write_results() {
    result_.took = Clock::now() - began_;
    result_.notes = result_.options.notes;
    result_.notes.insert(result_.notes.end(), result_.plan.notes.begin(), result_.plan.notes.end());
    for (std::string const& note : sampler_.notes()) result_.notes.push_back(note);
    if (!result_.lost.empty()) result_.notes.push_back(result_.lost);
    // An old result is worth more than one without a sample.
    bool const anything = std::any_of(result_.cells.begin(), result_.cells.end(),
                                      [](CellResult const& cell) { return !cell.samples.empty(); });
    if (result_.options.out.empty() || !anything) return;
    try {
      write_record(result_, result_.options.out);
      result_.write_failure.clear();
    } catch (std::exception const& e) {
      if (result_.write_failure != e.what()) progress_.warn(e.what());
      result_.write_failure = e.what();
    }
    // A file of megabytes leaves many times as much freed, and not given back, on the heap: every later
    // sample's process would begin with it in its memory.
    ::malloc_trim(0);
  }

  void write_other_files() {
    if (result_.rounds == 0) return;
    try {
      write_library_file(result_);
      if (!result_.options.hgrm.empty()) write_latency_files(result_, result_.options.hgrm);
    } catch (std::exception const& e) {
      progress_.warn(e.what());
      result_.write_failure = e.what();
    }
  }

  Clock::time_point began_ = Clock::now();
  Clock::time_point budget_from_ = began_;
  Grow const* grow_;  // null: nothing more
  Sampler& sampler_;
  LocalSampler& local_;
  StopSignals const& stop_;
  Progress& progress_;
  std::optional<std::size_t> measuring_;
  Plan plan_;
  Engine engine_;
  std::vector<Clock::duration> took_;  // a cell's latest sample, forking and verifying included
  CampaignResult result_;
};

/// The result of a campaign that was interrupted before its first sample.
CampaignResult nothing_measured(RunOptions const& options, Plan const& plan) {
  CampaignResult result;
  result.plan = plan;
  result.options = options;
  result.interrupted = true;
  for (Cell const& cell : plan.cells) result.cells.emplace_back().cell = cell;
  close_all(result, Closed::interrupted);
  return result;
}

std::unique_ptr<Sampler> make_sampler(RunOptions const& options, Plan const& plan, StopSignals const& stop,
                                      Progress& progress) {
  if (options.against.empty()) return std::make_unique<LocalSampler>(options, plan, stop, progress);
  return std::make_unique<TwoBuilds>(options, plan, stop, progress);
}

CampaignResult run_by_itself(RunOptions const& options, Plan const& plan, Grow const* grow) {
  StopSignals const stop;
  Progress progress(Progress::style(options.progress));
  try {
    auto const sampler = make_sampler(options, plan, stop, progress);
    return Campaign(options, plan, *sampler, stop, progress, grow).run();
  } catch (Interrupted const&) {  // while the service was started
    return nothing_measured(options, plan);
  }
}

}  // namespace

CampaignResult run_campaign(RunOptions const& options, Plan const& plan) {
  return run_by_itself(options, plan, nullptr);
}

CampaignResult run_campaign(RunOptions const& options, Plan const& plan, Grow const& grow) {
  return run_by_itself(options, plan, &grow);
}

CampaignResult run_campaign(RunOptions const& options, Plan const& plan, Sampler& sampler,
                            StopSignals const& stop, Progress& progress) {
  try {
    return Campaign(options, plan, sampler, stop, progress, nullptr).run();
  } catch (Interrupted const&) {
    return nothing_measured(options, plan);
  }
}

}  // namespace tally
