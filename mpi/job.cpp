#include "mpi/job.hpp"

#include <sched.h>

#include <algorithm>
#include <array>

#include "bench/options.hpp"
#include "bench/sample.hpp"

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

  cpu_set_t mine;
  CPU_ZERO(&mine);
  auto const usable = usable_cpus();
  for (int const cpu : usable) CPU_SET(static_cast<std::size_t>(cpu), &mine);
  Communicator const local = world.same_host();
  auto const sets = local.all_gather(mine, patience, kJoin);
  // Those that may run on just the same CPUs share them out among themselves.
  std::vector<int> same;
  bool overlaps = false;
  for (int r = 0; r < local.size(); ++r) {
    auto const& other = sets[static_cast<std::size_t>(r)];
    if (CPU_EQUAL(&other, &mine)) {
      same.push_back(r);
      continue;
    }
    cpu_set_t common;
    CPU_AND(&common, &other, &mine);
    overlaps = overlaps || CPU_COUNT(&common) > 0;
  }
  auto const place =
      static_cast<std::size_t>(std::find(same.begin(), same.end(), local.rank()) - same.begin());
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

}  // namespace tally
