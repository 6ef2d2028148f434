#include "bench/sampling/sampler_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "bench/base/units.hpp"
#include "bench/process/forked_process.hpp"
#include "bench/sampling/cell_sample.hpp"
#include "bench/sampling/sampler_protocol.hpp"
#include "workloads/base/errno_failure.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {
namespace {

constexpr int kCannotRun = 127;
/// A sampler reads a file, draws events and counts their references first.
constexpr std::chrono::minutes kPatience{10};
/// Beyond a sample's time-out: what starting and checking it takes.
constexpr std::chrono::seconds kSlack{60};

void close_if_open(int& file) noexcept {
  if (file >= 0) ::close(std::exchange(file, -1));
}

}  // namespace

SamplerProcess::SamplerProcess(std::filesystem::path program, std::vector<std::string> arguments,
                               std::chrono::nanoseconds sample_timeout, StopSignals const& stop)
    : program_(std::move(program)),
      arguments_(std::move(arguments)),
      sample_timeout_(sample_timeout),
      stop_(stop) {
  try {
    greet();
  } catch (...) {
    end();
    throw;
  }
}

/// Starts it and reads what it says of itself.
void SamplerProcess::greet() {
  start();
  auto const hello = answer("sampler", kPatience);
  try {
    if (hello.at("sampler") != kSamplerProtocol)
      fail("it takes samples by protocol " + hello.at("sampler").dump() + ", and this build by " +
           std::to_string(kSamplerProtocol));
    hello.at("cells").get_to(cells_);
    manifest_ = hello.at("manifest");
  } catch (Json::Error const& e) {
    fail(e.what());
  }
}

SamplerProcess::~SamplerProcess() {
  end();
  close_if_open(errors_);
}

void SamplerProcess::start() {
  // The same name for every build: a longer one would move the stack, and with it figures (Mytkowicz et al.,
  // ASPLOS 2009).
  std::vector<std::string> texts{"tally", "sampler"};
  texts.insert(texts.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> argv;
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);

  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) fail_with_errno("pipe to a sampler");
  requests_ = in[1];
  if (::pipe2(out, O_CLOEXEC) != 0) {
    ::close(in[0]);
    fail_with_errno("pipe from a sampler");
  }
  answers_ = out[0];
  if (errors_ < 0) errors_ = ::memfd_create("errors of a sampler", MFD_CLOEXEC);
  OwnedFd const theirs_in(in[0]), theirs_out(out[1]);
  pid_ = fork_process("a sampler", [&] {
    ::dup2(theirs_in.get(), STDIN_FILENO);
    ::dup2(theirs_out.get(), STDOUT_FILENO);
    if (errors_ >= 0) ::dup2(errors_, STDERR_FILENO);
    ::execv(program_.c_str(), argv.data());
    ::_exit(kCannotRun);
  });
}

/// An orderly end leaves the sampler time to end its service; then it is killed. Its status, as waitpid(2)
/// gives it.
int SamplerProcess::end() noexcept {
  close_if_open(requests_);
  close_if_open(answers_);
  buffer_.clear();
  int status = 0;
  if (pid_ > 0) {
    constexpr int kLooks = 200;
    constexpr timespec kBetween{0, 10'000'000};
    bool ended = false;
    for (int look = 0; look < kLooks && !ended; ++look) {
      ended = ::waitpid(pid_, &status, WNOHANG) != 0;
      if (look == 1) ::kill(pid_, SIGTERM);  // it did not end by itself, with its input
      if (!ended) ::nanosleep(&kBetween, nullptr);
    }
    if (!ended) {
      ::kill(-pid_, SIGKILL);
      while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
      }
    }
    pid_ = -1;
  }
  return status;
}

void SamplerProcess::tell(Json const& line) {
  std::string const text = line.dump() + "\n";
  for (std::size_t sent = 0; sent < text.size();) {
    ssize_t const n = ::write(requests_, text.data() + sent, text.size() - sent);
    if (n < 0 && errno != EINTR) return;  // it has ended; answer() says how
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
}

/// Its next line, which must have `key`.
Json SamplerProcess::answer(char const* key, std::chrono::nanoseconds within) {
  using Clock = std::chrono::steady_clock;
  auto const deadline = Clock::now() + within;
  std::optional<std::string> text;
  while (!(text = buffer_.next())) {
    pollfd fds[] = {{answers_, POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    auto const left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    int const ready =
        ::poll(fds, std::size(fds), static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000)));
    if (ready < 0 && errno != EINTR) fail_with_errno("poll on a sampler");
    if (stop_.requested()) throw Interrupted("interrupted");
    if (ready == 0 && left <= 0)
      fail("no answer within " + format_seconds(std::chrono::duration<double>(within).count()));
    if (!fds[0].revents) continue;
    char bytes[4096];
    ssize_t const n = ::read(answers_, bytes, sizeof bytes);
    if (n == 0) fail(last_words());
    if (n < 0 && errno != EINTR) fail_with_errno("read from a sampler");
    if (n > 0) buffer_.add(bytes, static_cast<std::size_t>(n));
  }
  auto line = Json::parse_or_null(*text);
  if (line.is_object() && line.contains("error") && line.at("error").is_string())
    fail(line.at("error").get<std::string>());
  if (!line.is_object() || !line.contains(key)) fail("it does not say what 'tally sampler' says");
  return line;
}

/// Why it ended: what it complained of last, and its status.
std::string SamplerProcess::last_words() {
  int const status = end();
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCannotRun) return "it cannot be run";
  std::string said(4096, '\0');
  off_t const size = errors_ >= 0 ? ::lseek(errors_, 0, SEEK_END) : 0;
  off_t const from = std::max<off_t>(0, size - static_cast<off_t>(said.size()));
  ssize_t const n = errors_ >= 0 ? ::pread(errors_, said.data(), said.size(), from) : 0;
  said.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  if (auto const line = said.rfind('\n'); line != std::string::npos) said.erase(0, line + 1);
  return describe_wait_status(status) + (said.empty() ? "" : ", and said '" + said + "'");
}

void SamplerProcess::fail(std::string const& what) const {
  throw SamplerFailed(program_.string() + ": " + what);
}

std::map<std::string, std::string> SamplerProcess::prepare(
    double links_per_ns, std::map<std::string, std::uint64_t> const& events) {
  prepared_for_ = {{"prepare", events}, {"links_per_ns", links_per_ns}};
  tell(prepared_for_);
  try {
    return answer("prepared", kPatience).at("prepared").get<std::map<std::string, std::string>>();
  } catch (Json::Error const& e) {
    fail(e.what());
  }
}

CellSample SamplerProcess::sample(std::string const& cell) {
  CellSample taken;
  std::string failure = lost_;
  if (failure.empty()) {
    try {
      tell({{"sample", cell}});
      auto const line = answer("taken", sample_timeout_ + kSlack);
      if (line.contains("notes"))
        for (auto const& note : line.at("notes"))
          notes_.push_back(program_.string() + ": " + note.get<std::string>());
      return sample_from_json(line.at("taken"));
    } catch (SamplerFailed const& e) {
      failure = e.what();
    } catch (Json::Error const& e) {
      failure = program_.string() + ": " + e.what();
    }
    restart_after(failure);
  }
  taken.sample.failure = failure;
  return taken;
}

void SamplerProcess::restart_after(std::string const& failure) {
  end();
  if (restarted_) {
    lost_ = failure + ", and had been started again before";
    return;
  }
  restarted_ = true;
  notes_.push_back(failure + "; it was started again");
  try {
    greet();
    tell(prepared_for_);
    answer("prepared", kPatience);
  } catch (SamplerFailed const& e) {
    end();
    lost_ = e.what();
  }
}

}  // namespace tally
