#include "bench/sampler_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <system_error>
#include <utility>

#include "bench/child_watch.hpp"
#include "bench/sampler_protocol.hpp"

namespace tally {
namespace {

constexpr int kCannotRun = 127;

[[noreturn]] void fail_with_errno(char const* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void close_if_open(int& file) noexcept {
  if (file >= 0) ::close(std::exchange(file, -1));
}

}  // namespace

SamplerProcess::SamplerProcess(std::filesystem::path program, std::vector<std::string> const& arguments,
                               StopSignals const& stop)
    : program_(std::move(program)), stop_(stop) {
  try {
    start(arguments);
    auto const hello = answer("sampler");
    if (hello.at("sampler") != kSamplerProtocol)
      fail("it takes samples by protocol " + hello.at("sampler").dump() + ", and this build by " +
           std::to_string(kSamplerProtocol));
    hello.at("cells").get_to(cells_);
    manifest_ = hello.at("manifest");
  } catch (nlohmann::json::exception const& e) {
    end();
    throw SamplerFailed(program_.string() + ": " + e.what());
  } catch (...) {
    end();
    throw;
  }
}

SamplerProcess::~SamplerProcess() { end(); }

void SamplerProcess::start(std::vector<std::string> const& arguments) {
  std::vector<std::string> texts{program_.string(), "sampler"};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
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
  errors_ = ::memfd_create("errors of a sampler", MFD_CLOEXEC);
  std::cout.flush();
  std::fflush(nullptr);
  pid_t const parent = ::getpid();
  {
    SignalsBlocked const blocked;
    pid_ = ::fork();
    if (pid_ == 0) {
      become_child_of(parent);
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      if (errors_ >= 0) ::dup2(errors_, STDERR_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(kCannotRun);
    }
  }
  int const error = errno;
  ::close(in[0]);
  ::close(out[1]);
  errno = error;
  if (pid_ < 0) fail_with_errno("fork of a sampler");
  ::setpgid(pid_, pid_);
}

/// An orderly end leaves the sampler time to end its service; then it is killed.
void SamplerProcess::end() noexcept {
  close_if_open(requests_);
  close_if_open(answers_);
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    constexpr int kLooks = 200;
    constexpr timespec kBetween{0, 10'000'000};
    int look = 0;
    while (look < kLooks && ::waitpid(pid_, nullptr, WNOHANG) == 0) {
      ::nanosleep(&kBetween, nullptr);
      ++look;
    }
    if (look == kLooks) {
      ::kill(-pid_, SIGKILL);
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    pid_ = -1;
  }
  close_if_open(errors_);
}

void SamplerProcess::tell(nlohmann::json const& line) {
  std::string const text = line.dump() + "\n";
  for (std::size_t sent = 0; sent < text.size();) {
    ssize_t const n = ::write(requests_, text.data() + sent, text.size() - sent);
    if (n < 0 && errno != EINTR) return;  // it has ended; answer() says how
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
}

/// Its next line, which must have `key`.
nlohmann::ordered_json SamplerProcess::answer(char const* key) {
  std::size_t end;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    pollfd fds[] = {{answers_, POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    if (::poll(fds, std::size(fds), -1) < 0 && errno != EINTR) fail_with_errno("poll on a sampler");
    if (stop_.requested()) throw Interrupted("interrupted");
    if (!fds[0].revents) continue;
    char bytes[4096];
    ssize_t const n = ::read(answers_, bytes, sizeof bytes);
    if (n == 0) fail(last_words());
    if (n < 0 && errno != EINTR) fail_with_errno("read from a sampler");
    if (n > 0) buffer_.append(bytes, static_cast<std::size_t>(n));
  }
  auto line = nlohmann::ordered_json::parse(buffer_.substr(0, end), nullptr, false);
  buffer_.erase(0, end + 1);
  if (line.is_object() && line.contains("error")) fail(line.at("error").get<std::string>());
  if (!line.is_object() || !line.contains(key)) fail("it does not say what 'tally sampler' says");
  return line;
}

/// Why it ended: what it complained of last, or its status.
std::string SamplerProcess::last_words() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCannotRun) return "it cannot be run";
  std::string said(4096, '\0');
  ssize_t const n = errors_ >= 0 ? ::pread(errors_, said.data(), said.size(), 0) : 0;
  said.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  said.erase(0, said.rfind('\n') == std::string::npos ? 0 : said.rfind('\n') + 1);
  return describe_wait_status(status) + (said.empty() ? "" : ", and said '" + said + "'");
}

void SamplerProcess::fail(std::string const& what) const { throw SamplerFailed(program_.string() + ": " + what); }

std::map<std::string, std::string> SamplerProcess::prepare(double links_per_ns,
                                                           std::map<std::string, std::uint64_t> const& events) {
  tell({{"prepare", events}, {"links_per_ns", links_per_ns}});
  return answer("prepared").at("prepared").get<std::map<std::string, std::string>>();
}

CellSample SamplerProcess::sample(std::string const& cell) {
  CellSample taken;
  try {
    if (pid_ <= 0) fail("it has ended");
    tell({{"sample", cell}});
    return sample_from_json(answer("taken").at("taken"));
  } catch (SamplerFailed const& e) {
    taken.sample.failure = e.what();
    end();
  } catch (nlohmann::json::exception const& e) {
    taken.sample.failure = program_.string() + ": " + e.what();
    end();
  }
  return taken;
}

}  // namespace tally
