#include "models/external/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "models/runtime/processes.hpp"
#include "workloads/lookup/resp.hpp"
#include "workloads/base/errno_failure.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kTailKept = 2048, kTailShown = 400;
/// A word of the protocol is shorter; what is longer is quoted in part.
constexpr std::size_t kMaxWordBytes = 256;
/// Of its output, no more is read at once than this.
constexpr std::size_t kMostAtOnce = std::size_t{1} << 20;
/// When it has failed: for so long its end, and what it says on standard error, may take to come.
constexpr auto kLastWords = 200ms;
/// After its end, for so long what it started may take to end too.
constexpr auto kChildrenEndWithin = 300ms;

/// Reads what a descriptor, which does not block, has, but at most about kMostAtOnce bytes, and gives it to
/// `keep` piece by piece. True if its end was read.
template <class Keep>
bool read_what_is_there(int descriptor, Keep keep) {
  char bytes[65536];
  for (std::size_t taken = 0; taken < kMostAtOnce;) {
    ssize_t const n = ::read(descriptor, bytes, sizeof bytes);
    if (n == 0) return true;
    if (n < 0 && errno != EINTR) return false;
    if (n < 0) continue;
    keep(std::string_view(bytes, static_cast<std::size_t>(n)));
    taken += static_cast<std::size_t>(n);
  }
  return false;
}

struct Pipe {
  OwnedFd read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail_with_errno("no pipe to a program");
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

std::string spell(std::chrono::nanoseconds patience) {
  auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

/// The program's beginning, in the forked child. Calls what is safe there, and nothing else.
[[noreturn]] void become(char* const* argv, pid_t parent, int in, int out, int errors, int failure) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  // Ignored signals stay so across execve(2).
  ::signal(SIGPIPE, SIG_DFL);
  if (::dup2(in, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0 && ::dup2(errors, STDERR_FILENO) >= 0)
    ::execvp(argv[0], argv);
  int const error = errno;
  [[maybe_unused]] ssize_t const told = ::write(failure, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

ExternalProcess::ExternalProcess(std::vector<std::string> const& argv, std::chrono::nanoseconds patience)
    : patience_(patience), deadline_(Clock::now() + patience) {
  // Whoever is orphaned among what it starts becomes this process's child, whatever it did to hide.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail_with_errno("prctl for a program");
  ::signal(SIGPIPE, SIG_IGN);
  try {
    start(argv);
  } catch (...) {
    if (pid_ > 0 && !ended_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    throw;
  }
}

void ExternalProcess::start(std::vector<std::string> const& argv) {
  Pipe in, out, errors, failure;
  std::vector<char*> pieces;
  for (std::string const& piece : argv) pieces.push_back(const_cast<char*>(piece.c_str()));
  pieces.push_back(nullptr);
  pid_t const parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) fail_with_errno("no process for a program");
  if (pid_ == 0)
    become(pieces.data(), parent, in.read.get(), out.write.get(), errors.write.get(), failure.write.get());
  pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (pidfd_.get() < 0) fail_with_errno("pidfd_open of a program");
  in_ = std::move(in.write);
  out_ = std::move(out.read);
  errors_ = std::move(errors.read);
  for (Pipe* const pipe : {&out, &errors, &failure}) pipe->write.reset();
  in.read.reset();
  ::fcntl(out_.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(errors_.get(), F_SETFL, O_NONBLOCK);
  // Closed without a word when the program has begun.
  int error = 0;
  ssize_t told = 0;
  while ((told = ::read(failure.read.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (told == static_cast<ssize_t>(sizeof error))
    throw ExternalFailed("cannot be run: '" + argv[0] + "': " + std::strerror(error));
}

ExternalProcess::~ExternalProcess() {
  if (ended_ && ::waitpid(-1, nullptr, WNOHANG) < 0) return;  // nothing is left
  kill_descendants(::getpid());
  while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
}

/// Waits until it says or does anything, and takes that in; false if `until` comes first.
bool ExternalProcess::wait_for_news(Clock::time_point until) {
  auto const left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
  pollfd fds[] = {{output_over_ ? -1 : out_.get(), POLLIN, 0},
                  {errors_over_ ? -1 : errors_.get(), POLLIN, 0},
                  {ended_ ? -1 : pidfd_.get(), POLLIN, 0}};
  int const ready =
      ::poll(fds, std::size(fds), static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000)));
  if (ready < 0 && errno != EINTR) fail_with_errno("poll on a program");
  if (ready == 0) return false;
  if (ready < 0) return true;
  // Its end first: what it wrote before that is then all there.
  if (fds[2].revents) reap_if_ended();
  take_errors();
  take_output();
  return true;
}

bool ExternalProcess::reap_if_ended() {
  rusage usage{};
  pid_t const reaped = ended_ ? pid_ : ::wait4(pid_, &status_, WNOHANG, &usage);
  if (!ended_ && reaped == pid_) {
    ended_ = true;
    largest_ = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  }
  return ended_;
}

void ExternalProcess::take_output() {
  output_over_ =
      output_over_ || read_what_is_there(out_.get(), [this](std::string_view bytes) { output_ += bytes; });
}

void ExternalProcess::take_errors() {
  errors_over_ = errors_over_ || read_what_is_there(errors_.get(), [this](std::string_view bytes) {
                   tail_ += bytes;
                   if (tail_.size() > kTailKept) tail_.erase(0, tail_.size() - kTailKept);
                 });
}

void ExternalProcess::wait_for_last_words() {
  auto const until = Clock::now() + kLastWords;
  while (!(ended_ && errors_over_) && wait_for_news(until)) output_.clear();
}

void ExternalProcess::fail(std::string const& what) {
  wait_for_last_words();
  std::string text = what;
  if (ended_) text += " (" + describe_wait_status(status_) + ")";
  while (!tail_.empty() && (tail_.back() == '\n' || tail_.back() == ' ')) tail_.pop_back();
  if (!tail_.empty()) {
    bool const cut = tail_.size() > kTailShown;
    std::string_view const shown = std::string_view(tail_).substr(cut ? tail_.size() - kTailShown : 0);
    text += std::string("; its standard error ends \"") + (cut ? "..." : "") +
            printable(shown, 4 * kTailShown) + "\"";
  }
  throw ExternalFailed(text);
}

void ExternalProcess::fail_for_time(std::string const& what_for) {
  fail("no " + what_for + " within " + spell(patience_) + ": killed");
}

void ExternalProcess::expect(std::string_view word) {
  std::string const quoted = "'" + std::string(word) + "'";
  for (;;) {
    if (auto const end = output_.find('\n'); end != std::string::npos) {
      std::string const line = output_.substr(0, end);
      if (line == word) {
        output_.erase(0, end + 1);
        return;
      }
      fail("it printed \"" + printable(line) + "\" where the line " + quoted + " was expected");
    }
    if (output_.size() > kMaxWordBytes)
      fail("it printed \"" + printable(output_) + "\" where the line " + quoted + " was expected");
    if (output_over_ && !ended_)
      wait_for_last_words();  // its end closes its output, and is seen a little later
    if (ended_) fail("it ended before it said " + quoted);
    if (output_over_) fail("it closed its output before it said " + quoted);
    if (!wait_for_news(deadline_)) fail_for_time(quoted);
  }
}

void ExternalProcess::go() {
  constexpr std::string_view kGo = "go\n";
  // If nobody reads it, that it has ended says more.
  while (::write(in_.get(), kGo.data(), kGo.size()) < 0 && errno == EINTR) {
  }
  in_.reset();
}

void ExternalProcess::note_memory() {
  memory_at_done_ = peak_memory_bytes(pid_);
  if (memory_at_done_ == 0) return;
  for (Descendant const& process : descendants_of(pid_)) memory_at_done_ += private_memory_bytes(process.pid);
}

void ExternalProcess::read_counts(CountReader& counts) {
  // What is wrong with a count is said together with how the program ended.
  auto const take = [&](bool last) {
    try {
      counts.add(output_);
      if (last) counts.end();
    } catch (ExternalFailed const& e) {
      fail(e.what());
    }
    output_.clear();
  };
  // Once it has ended there is no more to come, whoever else it left its output to.
  while (!output_over_ && !ended_) {
    take(false);
    if (!wait_for_news(deadline_)) fail_for_time("end of its counts");
  }
  take(true);
}

void ExternalProcess::finish() {
  while (!ended_)
    if (!wait_for_news(deadline_)) fail_for_time("end of the program");
  if (status_ != 0) fail("it failed after it had counted");
  auto const until = Clock::now() + kChildrenEndWithin;
  for (;;) {
    pid_t const reaped = ::waitpid(-1, nullptr, WNOHANG);
    if (reaped < 0 && errno == ECHILD) return;
    if (reaped > 0 || (reaped < 0 && errno == EINTR)) continue;
    if (Clock::now() >= until) break;
    constexpr timespec kBetween{0, 2'000'000};
    ::nanosleep(&kBetween, nullptr);
  }
  std::string names;
  for (Descendant const& process : descendants_of(::getpid()))
    names += (names.empty() ? "" : ", ") + printable(process.name) + " (" + std::to_string(process.pid) + ")";
  fail("it left processes behind: " + names);
}

std::uint64_t ExternalProcess::memory_bytes() const noexcept {
  return memory_at_done_ > 0 ? memory_at_done_ : largest_;
}

}  // namespace tally
