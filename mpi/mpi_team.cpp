#include "mpi/mpi_team.hpp"

#include <mpi.h>

#include <algorithm>
#include <set>

#include "bench/plan/plan.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "mpi/agreement.hpp"

namespace tally {
namespace {

enum OrderKind : std::uint32_t { kPrepare = 1, kSample, kEnd };

struct Order {
  std::uint32_t kind = kEnd;
  std::uint32_t cell = 0;  // in the plan
  std::uint64_t events = 0;
  double links_per_ns = 0;
};

constexpr std::chrono::seconds kOrderWithin{30};

std::uint32_t index_of(Cell const& cell, Plan const& plan) {
  std::string const name = cell.name();
  for (std::size_t i = 0; i < plan.cells.size(); ++i)
    if (plan.cells[i].name() == name) return static_cast<std::uint32_t>(i);
  throw std::logic_error("there is no cell " + name);
}

/// Ranks read their own parts of it.
RunOptions without_input(RunOptions options) {
  options.input.reset();
  return options;
}

/// Ranks have services of their own.
Plan without_lookups(Plan plan) {
  std::erase_if(plan.cells, [](Cell const& cell) { return looks_up(cell); });
  return plan;
}

}  // namespace

MpiTeam::MpiTeam(RunOptions const& options, Rank& rank, Job const& job, Plan const& plan,
                 Communicator const& world, StopSignals const& stop, Progress& progress)
    : options_(options),
      rank_(rank),
      job_(job),
      plan_(plan),
      world_(world),
      stop_(stop),
      progress_(progress),
      pilot_options_(without_input(options)),
      local_(pilot_options_, without_lookups(plan), stop, progress) {}

MpiTeam::~MpiTeam() {
  if (lost_) return;
  try {
    Order order;
    world_.broadcast(order, 0, Patience::for_at_most(kOrderWithin), "ending the job");
  } catch (std::exception const&) {
    lost_ = true;
  }
}

void MpiTeam::order(std::uint32_t kind, Cell const& cell, double links_per_ns) {
  Order order{kind, index_of(cell, plan_), cell.events, links_per_ns};
  world_.broadcast(order, 0, Patience::for_at_most(kOrderWithin, &stop_), "telling the ranks what is next");
}

template <class Act>
auto MpiTeam::together(Act act) {
  try {
    return act();
  } catch (PeersLate const& late) {
    lost_ = true;
    throw SamplerLost(describe_late(late, job_.hosts));
  } catch (MpiFailed const& failed) {
    lost_ = true;
    throw SamplerLost(failed.what());
  } catch (Interrupted const&) {
    lost_ = true;  // in the middle of what the others wait for
    throw;
  }
}

std::uint64_t MpiTeam::events_of(Cell const& cell, std::uint64_t events) const {
  if (options_.input) return events;
  if (options_.events) return cell.events;
  int const most = *std::max_element(options_.ranks.begin(), options_.ranks.end());
  int const ranks = options_.scaling == Scaling::strong ? most : ranks_of(cell);
  return events * static_cast<std::uint64_t>(ranks);
}

std::vector<PreparedCell> MpiTeam::prepare(std::vector<Cell> const& cells) {
  local_.forget();
  std::vector<PreparedCell> all;
  for (Cell cell : cells) {
    progress_.say("making the stream of " + cell.name());
    auto const made = together([&] {
      order(kPrepare, cell, local_.links_per_ns());
      return rank_.prepare(cell, local_.links_per_ns());
    });
    cell.events = made.events;
    input_bytes_ = made.input_bytes;
    all.push_back(known_waits(cell, options_, true));
    all.back().drawn_waits.reset();  // of one process's stream, and each rank has its part
  }
  return all;
}

CellSample MpiTeam::sample(Cell const& cell) {
  return together([&] {
    order(kSample, cell, 0);
    return rank_.sample(cell);
  });
}

Json MpiTeam::describe() const {
  char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(library, &length);
  std::string version(library, static_cast<std::size_t>(length));
  if (auto const end = version.find_first_of(",\n"); end != std::string::npos) version.resize(end);
  int major = 0, minor = 0;
  MPI_Get_version(&major, &minor);
  Json mpi;
  mpi["library"] = version;
  mpi["standard"] = std::to_string(major) + "." + std::to_string(minor);
  mpi["ranks"] = world_.size();
  mpi["hosts"] = std::set<std::string>(job_.hosts.begin(), job_.hosts.end()).size();
  mpi["host_of_rank"] = job_.hosts;
  mpi["least_cpus_of_a_rank"] = job_.least_cpus;
  mpi["oversubscribed"] = job_.shares_cpus;
  mpi["isolation"] =
      "none: samples of one rank follow each other in one process, which MPI does not let be forked for "
      "each; in place of it, cells come in another order in each round, a round is one sample of each, peak "
      "memory is "
      "counted anew for each sample, though the rank's parts of all cells' streams are in it, and "
      "--benchmark_min_warmup_time takes untimed ones first";
  mpi["timed"] =
      "counting from a start that all ranks have at once, by clocks that are compared before, to the slowest "
      "rank's end; then, from another such start, merging, to the slowest rank's end";
  Json checks = Json::object();
  for (auto const& [cell, check] : rank_.checks())
    checks[cell] = {{"sequential_part_of_stream", 1.0 / static_cast<double>(check.one_in)},
                    {"parallel_s", check.parallel_s},
                    {"sequential_s", check.sequential_s}};
  mpi["references"] = {
      {"made", "in parallel: by every rank of its own part, in one loop, and merged"},
      {"checked", "against one process's loop over the part of the stream that is named for each cell"},
      {"cells", std::move(checks)}};
  return {{"mpi", std::move(mpi)}};
}

std::vector<std::string> MpiTeam::notes() const {
  std::vector<std::string> notes = local_.notes();
  if (job_.shares_cpus)
    notes.push_back(
        "there are more ranks than CPUs, or they may use the same: they wait for each other, and no figure "
        "is a claim");
  if (rank_.service_shares_cpus())
    notes.push_back(
        "each rank's lookup service shares its CPUs with workers: it sleeps instead of spinning, and answers "
        "later");
  std::size_t smaller = 0;
  std::uint64_t least = 1;
  for (auto const& [cell, check] : rank_.checks()) {
    if (check.one_in == 1) continue;
    ++smaller;
    least = std::max(least, check.one_in);
  }
  if (smaller > 0)
    notes.push_back(
        "references of " + std::to_string(smaller) +
        " cells were made by all ranks, and compared with the sequential count on a smaller stream (1/" +
        std::to_string(least) +
        " at least): all of it would have taken more than a quarter of the time budget, or of rank 0's "
        "memory");
  return notes;
}

void follow(Rank& rank, Plan plan, Communicator const& world, StopSignals const& stop) {
  for (;;) {
    Order order;
    Patience patient;
    patient.stop = &stop;
    world.broadcast(order, 0, patient, "waiting to be told what is next");
    if (order.kind == kEnd) return;
    Cell& cell = plan.cells.at(order.cell);
    cell.events = order.events;
    try {
      if (order.kind == kPrepare)
        rank.prepare(cell, order.links_per_ns);
      else
        rank.sample(cell);
    } catch (RankFailed const&) {
      // Rank 0 says so.
    }
  }
}

}  // namespace tally
