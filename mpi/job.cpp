#include "mpi/job.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "bench/machine/system_limits.hpp"
#include "bench/process/forked_process.hpp"
#include "mpi/rank_deadline.hpp"

namespace tally {

Job join_job(Communicator const& world, RankWatch& watch, Patience const& patience) {
  constexpr char kJoin[] = "joining the job";
  Job job;
  std::array<char, MPI_MAX_PROCESSOR_NAME + 1> name{};
  int length = 0;
  MPI_Get_processor_name(name.data(), &length);
  for (auto const& host : world.all_gather(name, patience, kJoin)) job.hosts.emplace_back(host.data());
  RankWatch::write(watch.host, job.hosts[static_cast<std::size_t>(world.rank())]);
  watch.rank.store(world.rank() + 1);

  struct Cpus {
    std::array<char, 40> machine{};  // the kernel's number of this boot
    cpu_set_t set;
  } mine;
  std::ifstream("/proc/sys/kernel/random/boot_id").get(mine.machine.data(), mine.machine.size());
  if (mine.machine[0] == '\0')
    job.hosts[static_cast<std::size_t>(world.rank())].copy(mine.machine.data(), mine.machine.size() - 1);
  CPU_ZERO(&mine.set);
  auto const usable = usable_cpus();
  for (int const cpu : usable) CPU_SET(static_cast<std::size_t>(cpu), &mine.set);
  auto const all = world.all_gather(mine, patience, kJoin);
  // Those that may run on just the same CPUs share them out among themselves.
  std::vector<int> same;
  bool overlaps = false;
  std::map<std::string, int> machines;
  std::map<std::string, std::vector<int>> machines_of;  // by name
  for (int r = 0; r < world.size(); ++r) {
    Cpus const& other = all[static_cast<std::size_t>(r)];
    std::string const machine(other.machine.data(), other.machine.size());
    Job::Place place{machines.try_emplace(machine, r).first->second, {}};
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &other.set)) place.cpus.push_back(cpu);
    // Other machines of the same name, as "localhost", are other hosts, with clocks and files of their own.
    std::string& host = job.hosts[static_cast<std::size_t>(r)];
    auto& named = machines_of[host];
    std::size_t const nth =
        static_cast<std::size_t>(std::find(named.begin(), named.end(), place.machine) - named.begin());
    if (nth == named.size()) named.push_back(place.machine);
    if (nth > 0) host += " (machine " + std::to_string(nth + 1) + " of that name)";
    job.places.push_back(std::move(place));
    if (other.machine != mine.machine) continue;
    if (CPU_EQUAL(&other.set, &mine.set)) {
      same.push_back(r);
      continue;
    }
    cpu_set_t common;
    CPU_AND(&common, &other.set, &mine.set);
    overlaps = overlaps || CPU_COUNT(&common) > 0;
  }
  RankWatch::write(watch.host, job.hosts[static_cast<std::size_t>(world.rank())]);
  auto const place =
      static_cast<std::size_t>(std::find(same.begin(), same.end(), world.rank()) - same.begin());
  std::size_t const n = usable.size(), sharing = same.size();
  if (n >= sharing)
    for (std::size_t i = place * n / sharing; i < (place + 1) * n / sharing; ++i)
      job.cpus.push_back(usable[i]);
  else
    job.cpus.push_back(usable[place % n]);
  pin_process(job.cpus);
  job.shares_cpus = world.all_sum(n < sharing || overlaps ? 1 : 0, patience, kJoin) > 0;
  auto const counts = world.all_gather(static_cast<int>(job.cpus.size()), patience, kJoin);
  job.least_cpus = *std::min_element(counts.begin(), counts.end());
  return job;
}

std::map<int, Communicator> form_groups(Communicator const& world, std::vector<int> const& numbers,
                                        RankWatch* watch, StopSignals const& stop) {
  constexpr std::chrono::minutes kWithin{2};
  RankDeadline const deadline(world.rank() == 0 ? watch : nullptr, "waiting for all ranks to form groups",
                              kWithin);
  auto const patience = Patience::for_at_most(kWithin, &stop);
  std::map<int, Communicator> groups;
  for (int const ranks : numbers)
    if (!groups.contains(ranks)) groups.emplace(ranks, world.first(ranks, patience));
  return groups;
}

double Job::ranks_per_cpu(int ranks) const {
  struct Machine {
    double ranks = 0;
    std::set<int> cpus;
  };
  std::map<int, Machine> machines;
  for (int r = 0; r < ranks; ++r) {
    Place const& place = places[static_cast<std::size_t>(r)];
    Machine& machine = machines[place.machine];
    ++machine.ranks;
    machine.cpus.insert(place.cpus.begin(), place.cpus.end());
  }
  double most = 1;
  for (auto const& [number, machine] : machines)
    most = std::max(most, machine.ranks / static_cast<double>(machine.cpus.size()));
  return most;
}

}  // namespace tally
