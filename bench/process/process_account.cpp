#include "bench/process/process_account.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>
#include <string>

namespace tally {
namespace {

double in_seconds_of(timeval const& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
}

}  // namespace

ProcessAccount ProcessAccount::now(bool of_children) {
  ProcessAccount account;
  for (int const who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    if (of_children && who == RUSAGE_SELF) continue;
    rusage usage{};
    ::getrusage(who, &usage);
    account.user_s += in_seconds_of(usage.ru_utime);
    account.sys_s += in_seconds_of(usage.ru_stime);
    account.voluntary += static_cast<std::uint64_t>(usage.ru_nvcsw);
    account.involuntary += static_cast<std::uint64_t>(usage.ru_nivcsw);
  }
  return account;
}

ProcessAccount& ProcessAccount::operator-=(ProcessAccount const& before) noexcept {
  user_s -= before.user_s;
  sys_s -= before.sys_s;
  voluntary -= before.voluntary;
  involuntary -= before.involuntary;
  return *this;
}

std::uint64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  throw std::runtime_error("/proc/self/status has no VmHWM: peak memory is unknown");
}

bool forget_peak_rss() noexcept {
  int const file = ::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  bool const told = ::write(file, "5", 1) == 1;
  ::close(file);
  return told;
}

}  // namespace tally
