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
#include "bench/sampling/against.hpp"
#include "bench/sampling/cell_runner.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/team.hpp"
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
  Campaign(RunOptions const& options, Plan const& plan, Grow const* grow, Team* team)
      : began_(Clock::now()),
        grow_(grow),
        team_(team),
        own_stop_(team ? nullptr : std::make_unique<StopSignals>()),
        stop_(team ? team->stop_signals() : *own_stop_),
        own_options_(without_input_if(team != nullptr, options)),
        progress_(Progress::style(options.progress)),
        against_(start_against(options)),
        plan_(against_ ? against_->pair_up(plan) : plan),
        engine_(options.benchmark, plan_),
        runner_(own_options_, team ? without_lookups(plan) : plan, stop_, progress_),
        streams_(own_options_, stop_, progress_),
        took_(plan_.cells.size(), Clock::duration::zero()) {
    result_.plan = plan_;
    result_.options = options;
    if (against_) result_.against = against_->describe_other();
    if (needs_grain(plan)) {
      progress_.say("calibrating the grain");
      streams_.set_links_per_ns(calibrate_links_per_ns(runner_.worker_cpus(), stop_, options.reference));
    }
    result_.links_per_ns = streams_.links_per_ns();
    result_.reference_cpus = static_cast<int>(runner_.worker_cpus().size());
    if (streams_.input()) result_.input_bytes = streams_.input()->text().size();
    streams_.set_service(runner_.lookup_target());
    {
      StopSignals::ExitAtOnce const at_once(stop_);
      result_.manifest = make_manifest(options, streams_.input(), result_.links_per_ns,
                                       {runner_.service_name(), runner_.database()});
      result_.on_database = runner_.database() != nullptr;
    }
    if (team_) {
      add_team_to_manifest();
      result_.ranks_share_cpus = team_->ranks_share_cpus();
    }
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
    } catch (TeamLost const& lost) {
      note_lost(lost.what());
    }
    if (team_) add_team_to_manifest();  // what it found of the references
    if (auto const after = MachineTime::now();
        after && machine_before && after->total > machine_before->total)
      result_.steal_share = (after->stolen - machine_before->stolen) / (after->total - machine_before->total);
    result_.others = busy_processes(processes_before, ProcessTimes());
    result_.load_after = load_averages();
    result_.keys_left = runner_.remove_keys();
    write_results();
    write_other_files();
    return std::move(result_);
  }

 private:
  /// Ranks read their own parts of it.
  static RunOptions without_input_if(bool team, RunOptions options) {
    if (team) options.input.reset();
    return options;
  }
  /// Ranks have services of their own.
  static Plan without_lookups(Plan plan) {
    std::erase_if(plan.cells, [](Cell const& cell) { return looks_up(cell); });
    return plan;
  }

  void add_team_to_manifest() {
    auto manifest = Json::parse(result_.manifest);
    manifest.update(team_->describe());
    result_.manifest = manifest.dump();
  }

  /// Which ends the campaign, and says nothing against what was counted and verified before.
  void note_lost(std::string const& what) {
    result_.lost = what + (measuring_ ? ", in " + result_.cells[*measuring_].cell.name() : "");
    progress_.warn(result_.lost);
    close_all(result_, Closed::team_lost);
  }

  std::unique_ptr<Against> start_against(RunOptions const& options) {
    if (options.against.empty()) return nullptr;
    progress_.say("starting " + options.against.string());
    return std::make_unique<Against>(options, stop_);
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

  /// The same of the cells from `first` on, which are those of `part`, and their twins.
  void settle_numbers(Plan const& part, std::size_t first) {
    auto numbers = choose_numbers(result_.options, part, streams_, runner_, progress_);
    if (team_) numbers_of_ranks(part, numbers);
    std::uint64_t most_events = 0;
    for (std::size_t i = first; i < result_.cells.size(); ++i) {
      Pair const* const pair = result_.plan.pair_of(i);
      Cell& cell = result_.cells[i].cell;
      cell.events = numbers[pair ? pair->here : i - first];
      if (cell.stream != StreamKind::lookup) most_events = std::max(most_events, cell.events);
    }
    // With another build, both have streams of their own, and so have ranks.
    bool const streams_are_here = !team_ && (!against_ || streams_.input());
    if (most_events > 0 && !streams_.input() && streams_are_here) streams_.reserve(most_events);
    for (std::size_t i = first; i < result_.cells.size(); ++i) {
      CellResult& result = result_.cells[i];
      Cell& cell = result.cell;
      if (streams_are_here) {
        Workload const& workload = streams_.workload(cell);
        if (workload.cpu && streams_.input()) cell.events = workload.expected.events;
      }
      if (team_) {
        progress_.say("making the stream of " + cell.name());
        auto const prepared = team_->prepare(cell, streams_.links_per_ns());
        cell.events = prepared.events;
        result_.input_bytes = prepared.input_bytes;
      }
      double wait_s = 0;
      if (looks_up(cell) && runner_.waits_are_ours()) {
        WaitSpec const wait{cell.wait, result_.options.wait_distribution};
        LoadSchedule const* const load = streams_are_here ? streams_.workload(cell).load.get() : nullptr;
        wait_s = load && !cell.model->sequential ? slowest_wait_s(*load, wait, result_.options.keys.seed)
                                                 : mean_wait_s(wait, result_.options.keys.seed, cell.events);
        if (cell.stream == StreamKind::lookup && cell.wait.count() > 0 && cell.events > 0 && !team_)
          result.drawn_waits.emplace(wait, result_.options.keys.seed, cell.events,
                                     cell.model->sequential ? 1 : cell.in_flight);
      }
      // A rate that was searched for is what the cell could do, and bounds nothing.
      Cell bounded = cell;
      if (result.slo) bounded.rate_per_s = 0;
      result.analytic_bound = analytic_bound(bounded, runner_.cpus_of(cell), wait_s) * ranks_of(cell);
      result_.plan.cells[i].events = cell.events;
    }
    if (!against_) return;
    streams_.forget();
    progress_.say("making the streams of both builds");
    against_->prepare(streams_.links_per_ns(), result_.cells);
  }

  /// What was found for one process is each rank's part; with --scaling strong, of the most ranks, so that
  /// every number of them counts the same events.
  void numbers_of_ranks(Plan const& part, std::vector<std::uint64_t>& numbers) {
    streams_.forget();
    if (result_.options.input) return;
    if (result_.options.events) {
      for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = part.cells[i].events;
      return;
    }
    int const most = *std::max_element(result_.options.ranks.begin(), result_.options.ranks.end());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      int const ranks = result_.options.scaling == Scaling::strong ? most : ranks_of(part.cells[i]);
      numbers[i] *= static_cast<std::uint64_t>(ranks);
    }
  }

  /// Finds the rate of every cell, at which its rounds then measure it.
  void search_rates() {
    for (std::size_t i = 0; i < result_.cells.size(); ++i) {
      CellResult& result = result_.cells[i];
      try {
        result.slo = search_rate(result.cell, result_.options, streams_, runner_, progress_);
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
    CellResult const& result = result_.cells[index];
    CellSample taken;
    // An older build that is measured beside this one may know of no polling, or of less.
    auto const awake = against_ ? runner_.polling(result.cell) : std::nullopt;
    measuring_ = index;
    taken.sample = engine_.sample(index, [&] {
      taken = team_      ? team_->sample(result.cell)
              : against_ ? against_->sample(result.cell)
                         : runner_.run(result.cell, streams_.workload(result.cell), streams_);
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
    auto sample = run_reference(runner_.worker_cpus(), stop_, result_.options.reference);
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
    result_.notes.insert(result_.notes.end(), runner_.notes().begin(), runner_.notes().end());
    if (against_)
      for (std::string const& note : against_->notes()) result_.notes.push_back(note);
    if (team_)
      for (std::string const& note : team_->notes()) result_.notes.push_back(note);
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

  Clock::time_point began_;
  Clock::time_point budget_from_ = began_;
  Grow const* grow_;                       // null: nothing more
  Team* team_;                             // null: this process takes its samples by itself
  std::unique_ptr<StopSignals> own_stop_;  // null: the team's
  StopSignals const& stop_;
  RunOptions own_options_;
  std::optional<std::size_t> measuring_;
  Progress progress_;
  std::unique_ptr<Against> against_;
  Plan plan_;
  Engine engine_;
  CellRunner runner_;  // forks the service before the streams take memory
  Streams streams_;
  std::vector<Clock::duration> took_;  // a cell's latest sample, forking and verifying included
  CampaignResult result_;
};

CampaignResult run(RunOptions const& options, Plan const& plan, Grow const* grow, Team* team = nullptr) {
  try {
    return Campaign(options, plan, grow, team).run();
  } catch (Interrupted const&) {  // while the service was started
    CampaignResult result;
    result.plan = plan;
    result.options = options;
    result.interrupted = true;
    for (Cell const& cell : plan.cells) result.cells.emplace_back().cell = cell;
    close_all(result, Closed::interrupted);
    return result;
  }
}

}  // namespace

CampaignResult run_campaign(RunOptions const& options, Plan const& plan) {
  return run(options, plan, nullptr);
}

CampaignResult run_campaign(RunOptions const& options, Plan const& plan, Team& team) {
  return run(options, plan, nullptr, &team);
}

CampaignResult run_campaign(RunOptions const& options, Plan const& plan, Grow const& grow) {
  return run(options, plan, &grow);
}

}  // namespace tally
