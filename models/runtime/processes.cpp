#include "models/runtime/processes.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

namespace tally {
namespace {

/// A line of the process table.
struct Process {
  pid_t pid, parent;
  bool ended;  ///< a zombie
  std::string name;
};

/// What /proc says of a process; none if it is gone.
std::optional<Process> read_process(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // `pid (name) state parent ...`: the name may hold anything, parentheses too.
  auto const open = line.find('('), close = line.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
  char state = 0;
  int parent = 0;
  if (std::sscanf(line.c_str() + close + 1, " %c %d", &state, &parent) != 2) return std::nullopt;
  return Process{pid, parent, state == 'Z' || state == 'X', line.substr(open + 1, close - open - 1)};
}

std::vector<Process> all_processes() {
  std::vector<Process> all;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    std::string const name = entry->path().filename().string();
    pid_t pid = 0;
    auto const [rest, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad != std::errc{} || rest != name.data() + name.size()) continue;
    if (auto process = read_process(pid)) all.push_back(std::move(*process));
  }
  return all;
}

/// The number of KiB on the line of a file in /proc that begins with `key`, in bytes; 0 if there is none.
std::uint64_t bytes_at(std::string const& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) return std::strtoull(line.c_str() + key.size(), nullptr, 10) * 1024;
  return 0;
}

}  // namespace

std::string describe_wait_status(int status) {
  if (WIFSIGNALED(status)) {
    int const number = WTERMSIG(status);
    return "killed by signal " + std::to_string(number) + " (" + ::strsignal(number) + ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(status));
}

std::vector<Descendant> descendants_of(pid_t root) {
  auto const all = all_processes();
  std::vector<pid_t> family{root};
  std::vector<Descendant> found;
  for (std::size_t i = 0; i < family.size(); ++i) {
    for (Process const& process : all) {
      if (process.parent != family[i] || process.pid == root) continue;
      family.push_back(process.pid);  // a process that has ended has no children
      if (!process.ended) found.push_back({process.pid, process.name});
    }
  }
  return found;
}

std::vector<pid_t> kill_descendants(pid_t root) noexcept {
  constexpr int kLooks = 500;
  constexpr timespec kBetween{0, 2'000'000};
  std::vector<pid_t> killed;
  try {
    for (int look = 0; look < kLooks; ++look) {
      auto const left = descendants_of(root);
      if (left.empty()) break;
      for (Descendant const& process : left) {
        ::kill(process.pid, SIGKILL);
        if (std::find(killed.begin(), killed.end(), process.pid) == killed.end())
          killed.push_back(process.pid);
      }
      ::nanosleep(&kBetween, nullptr);
    }
  } catch (...) {
    // No memory to look with: what is left is killed with its group.
  }
  return killed;
}

std::uint64_t peak_memory_bytes(pid_t pid) {
  return bytes_at("/proc/" + std::to_string(pid) + "/status", "VmHWM:");
}

std::uint64_t private_memory_bytes(pid_t pid) {
  return bytes_at("/proc/" + std::to_string(pid) + "/smaps_rollup", "Private_Dirty:");
}

}  // namespace tally
