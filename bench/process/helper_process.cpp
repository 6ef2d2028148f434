#include "bench/process/helper_process.hpp"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <utility>

#include "bench/process/forked_process.hpp"

namespace tally {

HelperProcess::HelperProcess(std::string const& name, std::vector<int> const& cpus,
                             std::function<void()> const& body)
    : pid_(fork_process(name,
                        [&] {
                          try {
                            pin_process(cpus);
                            body();
                            return;
                          } catch (std::exception const& e) {
                            std::fprintf(stderr, "tally: %s: %s\n", name.c_str(), e.what());
                          } catch (...) {
                            std::fprintf(stderr, "tally: %s: threw something that is no std::exception\n",
                                         name.c_str());
                          }
                          ::_exit(1);
                        })),
      pidfd_(watch_process(name, pid_)) {}

HelperProcess::~HelperProcess() { end(); }

void HelperProcess::end() noexcept {
  if (pid_ > 0) end_process_group(std::exchange(pid_, -1));
}

double HelperProcess::cpu_s() const noexcept {
  clockid_t clock;
  timespec time{};
  if (pid_ <= 0 || ::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::optional<std::string> HelperProcess::death() {
  if (death_ || pid_ <= 0) return death_;
  siginfo_t ended{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      ended.si_pid != pid_)
    return death_;
  death_ = describe_wait_status(end_process_group(std::exchange(pid_, -1)));
  return death_;
}

}  // namespace tally
