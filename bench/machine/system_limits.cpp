#include "bench/machine/system_limits.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <system_error>

namespace tally {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> read_text(fs::path const& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// The number that the file begins with; none if it does not (`max`, `-1`) or is not there.
std::optional<std::uint64_t> read_number(fs::path const& path) {
  auto const text = read_text(path);
  if (!text) return std::nullopt;
  std::uint64_t value = 0;
  auto const [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

/// The number after `key` at the beginning of a line of `text`.
std::optional<std::uint64_t> find_number(std::string const& text, std::string const& key) {
  for (auto at = text.find(key); at != std::string::npos; at = text.find(key, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    auto const begin = text.find_first_of("0123456789", at + key.size());
    std::uint64_t value = 0;
    if (begin != std::string::npos &&
        std::from_chars(text.data() + begin, text.data() + text.size(), value).ec == std::errc{}) {
      return value;
    }
  }
  return std::nullopt;
}

/// The directories of this process's cgroup and every one above it that can be seen, for `controller`: of
/// version 1 and of version 2. In a container the path may be that of the host; then those that are not there
/// are passed over.
std::vector<fs::path> cgroup_directories(std::string const& controller) {
  std::vector<fs::path> directories;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    auto const first = line.find(':');
    auto const second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string const controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::vector<fs::path> roots;
    if (controllers == ",,") {
      roots = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    } else if (controllers.find("," + controller + ",") != std::string::npos) {
      roots = {"/sys/fs/cgroup/" + controller};
    }
    for (auto const& root : roots) {
      fs::path below = fs::path(line.substr(second + 1)).relative_path();
      for (;; below = below.parent_path()) {
        std::error_code ignored;
        if (fs::is_directory(root / below, ignored)) directories.push_back(root / below);
        if (below.empty()) break;
      }
    }
  }
  return directories;
}

/// Threads of all processes of this user.
std::uint64_t tasks_of_user() {
  std::uint64_t tasks = 0;
  std::error_code ignored;
  for (auto const& entry : fs::directory_iterator("/proc", ignored)) {
    struct stat status {};
    std::string const name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (stat(entry.path().c_str(), &status) != 0 || status.st_uid != getuid()) continue;
    tasks += find_number(read_text(entry.path() / "status").value_or(""), "Threads:").value_or(1);
  }
  return tasks;
}

/// Threads on the whole machine: the number after the slash in /proc/loadavg.
std::uint64_t tasks_of_machine() {
  auto const text = read_text("/proc/loadavg").value_or("");
  auto const slash = text.find('/');
  std::uint64_t tasks = 0;
  if (slash != std::string::npos) std::from_chars(text.data() + slash + 1, text.data() + text.size(), tasks);
  return tasks;
}

std::vector<Limit> read_task_limits() {
  std::vector<Limit> limits;
  rlimit user{};
  if (geteuid() != 0 && getrlimit(RLIMIT_NPROC, &user) == 0 && user.rlim_cur != RLIM_INFINITY) {
    limits.push_back({.name = "ulimit -u", .value = user.rlim_cur, .in_use = tasks_of_user()});
  }
  std::uint64_t const running = tasks_of_machine();
  auto const add = [&](std::string_view name, fs::path const& path, std::uint64_t in_use) {
    if (auto const value = read_number(path))
      limits.push_back({.name = name, .value = *value, .in_use = in_use});
  };
  add("kernel.threads-max", "/proc/sys/kernel/threads-max", running);
  add("kernel.pid_max", "/proc/sys/kernel/pid_max", running);
  for (auto const& directory : cgroup_directories("pids")) {
    add("pids.max of the cgroup", directory / "pids.max",
        read_number(directory / "pids.current").value_or(0));
  }
  return limits;
}

/// Memory of a cgroup that is used and cannot be given back: without cached files.
std::uint64_t pinned_memory(std::uint64_t used, fs::path const& directory, std::string const& cached) {
  auto const stat = read_text(directory / "memory.stat").value_or("");
  return used - std::min(used, find_number(stat, cached).value_or(0));
}

std::uint64_t read_available_memory() {
  std::uint64_t available = kNoLimit;
  if (auto const kib = find_number(read_text("/proc/meminfo").value_or(""), "MemAvailable:"))
    available = *kib * 1024;
  for (auto const& directory : cgroup_directories("memory")) {
    for (auto const& [most, current, cached] :
         {std::array{"memory.max", "memory.current", "inactive_file"},
          std::array{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}}) {
      auto const limit = read_number(directory / most);
      if (!limit) continue;
      std::uint64_t const used =
          pinned_memory(read_number(directory / current).value_or(0), directory, cached);
      available = std::min(available, *limit - std::min(*limit, used));
    }
  }
  return available;
}

}  // namespace

std::uint64_t raise_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kNoLimit;
  rlimit const raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return limit.rlim_cur == RLIM_INFINITY ? kNoLimit : limit.rlim_cur;
}

SystemLimits read_system_limits() {
  SystemLimits limits;
  limits.open_files.value = raise_open_files();
  limits.memory_maps.value = read_number("/proc/sys/vm/max_map_count").value_or(kNoLimit);
  limits.tasks = read_task_limits();
  limits.memory.value = read_available_memory();
  return limits;
}

std::uint64_t cpu_quota() {
  std::uint64_t cpus = kNoLimit;
  auto const take = [&](std::uint64_t quota, std::uint64_t period) {
    if (period > 0) cpus = std::min(cpus, std::max<std::uint64_t>(quota / period, 1));
  };
  for (auto const& directory : cgroup_directories("cpu")) {
    if (auto const text = read_text(directory / "cpu.max"); text && !text->starts_with("max")) {
      auto const blank = text->find(' ');
      std::uint64_t quota = 0, period = 0;
      std::from_chars(text->data(), text->data() + text->size(), quota);
      if (blank != std::string::npos)
        std::from_chars(text->data() + blank + 1, text->data() + text->size(), period);
      take(quota, period);
    }
    if (auto const quota = read_number(directory / "cpu.cfs_quota_us")) {
      take(*quota, read_number(directory / "cpu.cfs_period_us").value_or(0));
    }
  }
  return cpus;
}

std::vector<int> usable_cpus() {
  std::vector<int> cpus;
  // The kernel refuses a mask that is too small for the machine; so it grows until it is taken.
  for (int most = 1024; cpus.empty() && most <= 1 << 20; most *= 2) {
    std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> const set(CPU_ALLOC(static_cast<std::size_t>(most)),
                                                               [](cpu_set_t* p) { CPU_FREE(p); });
    std::size_t const bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(most));
    if (!set || sched_getaffinity(0, bytes, set.get()) != 0) continue;
    for (int cpu = 0; cpu < most; ++cpu) {
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, set.get())) cpus.push_back(cpu);
    }
  }
  if (cpus.empty())
    throw std::system_error(errno, std::generic_category(), "cannot read which CPUs may be used");
  std::uint64_t const quota = cpu_quota();
  if (quota < cpus.size()) cpus.resize(static_cast<std::size_t>(quota));
  return cpus;
}

}  // namespace tally
