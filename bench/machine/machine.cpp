#include "bench/machine/machine.hpp"

#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "bench/machine/system_limits.hpp"

namespace tally {
namespace {

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
  machine["load_avg"] = load_averages();
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

std::vector<double> load_averages() {
  std::vector<double> load(3);
  int const known = ::getloadavg(load.data(), static_cast<int>(load.size()));
  load.resize(static_cast<std::size_t>(std::max(known, 0)));
  return load;
}

ProcessTimes::ProcessTimes() : taken_(std::chrono::steady_clock::now()) {
  double const ticks_per_s = static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::error_code error;
  for (auto const& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::string const number = entry.path().filename();
    if (number.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;
    auto const open = line.find('('), close = line.rfind(')');
    if (open == std::string::npos || close == std::string::npos) continue;
    // After the name: state, parent, then nine fields before user and system time (proc(5)).
    std::istringstream rest(line.substr(close + 2));
    std::string skipped;
    Process process;
    process.name = line.substr(open + 1, close - open - 1);
    rest >> skipped >> process.parent;
    for (int i = 0; i < 9; ++i) rest >> skipped;
    double user = 0, system = 0;
    if (!(rest >> user >> system)) continue;
    process.cpu_s = (user + system) / ticks_per_s;
    processes_[std::stoi(number)] = process;
  }
}

std::vector<BusyProcess> busy_processes(ProcessTimes const& before, ProcessTimes const& after) {
  constexpr double kBackground = 0.02;
  double const seconds = std::chrono::duration<double>(after.taken_ - before.taken_).count();
  auto const is_ours = [&](int pid) {
    for (auto found = after.processes_.find(pid); found != after.processes_.end();
         found = after.processes_.find(found->second.parent))
      if (found->first == ::getpid()) return true;
    return false;
  };
  std::vector<BusyProcess> busy;
  for (auto const& [pid, process] : after.processes_) {
    auto const old = before.processes_.find(pid);
    double const used_s = process.cpu_s - (old == before.processes_.end() ? 0 : old->second.cpu_s);
    if (seconds > 0 && used_s / seconds >= kBackground && !is_ours(pid))
      busy.push_back({pid, process.name, used_s / seconds});
  }
  std::sort(busy.begin(), busy.end(), [](auto const& a, auto const& b) { return a.cpus > b.cpus; });
  return busy;
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
