#include "bench/machine.hpp"

#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <cmath>
#include <fstream>
#include <set>
#include <string>

#include "bench/options.hpp"

namespace tally {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kUnknown[] = "unknown";

std::string first_line(std::string const& path) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) && !line.empty() ? line : kUnknown;
}

/// The value of the first "key : value" line of a file.
std::string value_of(std::string const& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    auto const colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    auto const begin = line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string::npos) return line.substr(begin);
  }
  return kUnknown;
}

std::string governors(std::vector<int> const& cpus) {
  std::set<std::string> found;
  for (int const cpu : cpus)
    found.insert(
        first_line("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/scaling_governor"));
  std::string text;
  for (std::string const& governor : found) text += (text.empty() ? "" : ",") + governor;
  return text.empty() ? kUnknown : text;
}

std::string virtualisation() {
  std::string const flags = value_of("/proc/cpuinfo", "flags");
  bool const guest = (" " + flags + " ").find(" hypervisor ") != std::string::npos;
  std::string const vendor = first_line("/sys/class/dmi/id/sys_vendor");
  std::string const product = first_line("/sys/class/dmi/id/product_name");
  std::string named = vendor == kUnknown ? "" : vendor;
  if (product != kUnknown) named += (named.empty() ? "" : " ") + product;
  if (flags == kUnknown) return named.empty() ? kUnknown : "unknown (" + named + ")";
  if (!guest) return "none seen";
  return "virtual machine" + (named.empty() ? ", kind unknown" : " (" + named + ")");
}

Json limit(int resource) {
  rlimit value{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &value) != 0) return kUnknown;
  auto const number = [](rlim_t n) { return n == RLIM_INFINITY ? Json("unlimited") : Json(n); };
  return {{"soft", number(value.rlim_cur)}, {"hard", number(value.rlim_max)}};
}

Json caches() {
  Json list = Json::array();
  for (auto const& cache : benchmark::CPUInfo::Get().caches)
    list.push_back({{"type", cache.type},
                    {"level", cache.level},
                    {"size", cache.size},
                    {"num_sharing", cache.num_sharing}});
  return list;
}

}  // namespace

Json describe_machine() {
  benchmark::CPUInfo const& info = benchmark::CPUInfo::Get();
  auto const cpus = usable_cpus();
  utsname system{};
  ::uname(&system);
  struct sysinfo memory {};
  ::sysinfo(&memory);
  Json machine;
  machine["host_name"] = system.nodename;
  machine["num_cpus"] = info.num_cpus;
  machine["mhz_per_cpu"] = std::lround(info.cycles_per_second / 1e6);
  std::string const governor = governors(cpus);
  // The library says "disabled" also where it does not know.
  if (governor != kUnknown && info.scaling != benchmark::CPUInfo::UNKNOWN)
    machine["cpu_scaling_enabled"] = info.scaling == benchmark::CPUInfo::ENABLED;
  else
    machine["cpu_scaling_enabled_absent"] = "the kernel shows no governor";
  machine["caches"] = caches();
  double load[3];
  int const loads = ::getloadavg(load, 3);
  machine["load_avg"] = Json::array();
  for (int i = 0; i < loads; ++i) machine["load_avg"].push_back(load[i]);
  machine["kernel"] = std::string(system.sysname) + " " + system.release + " " + system.version;
  machine["architecture"] = system.machine;
  machine["cpu_model"] = value_of("/proc/cpuinfo", "model name");
  machine["cpus_usable"] = cpus;
  machine["governor"] = governor;
  machine["virtualisation"] = virtualisation();
  machine["memory_bytes"] = static_cast<std::uint64_t>(memory.totalram) * memory.mem_unit;
  machine["transparent_huge_pages"] = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  machine["limits"] = {{"open_files", limit(RLIMIT_NOFILE)},
                       {"processes", limit(RLIMIT_NPROC)},
                       {"pids_max", first_line("/proc/sys/kernel/pid_max")},
                       {"threads_max", first_line("/proc/sys/kernel/threads-max")},
                       {"cgroup_pids_max", first_line("/sys/fs/cgroup/pids.max")}};
  return machine;
}

std::optional<MachineTime> MachineTime::now() {
  std::ifstream stat("/proc/stat");
  std::string label;
  stat >>
      label;  // "cpu", then user nice system idle iowait irq softirq steal; guest time is in user's already
  if (label != "cpu") return std::nullopt;
  MachineTime time;
  constexpr int kFields = 8, kIdle = 3, kWaiting = 4, kSteal = 7;
  for (int i = 0; i < kFields; ++i) {
    double ticks = 0;
    if (!(stat >> ticks)) return std::nullopt;
    time.total += ticks;
    if (i == kSteal) time.stolen = ticks;
    if (i == kIdle || i == kWaiting) time.idle += ticks;
  }
  return time;
}

}  // namespace tally
