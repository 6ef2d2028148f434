#include "models/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

namespace tally {
namespace {

constexpr char kReady = 'r', kGo = 'g', kCounted = 'c', kThrew = 't', kEnd = 'e', kMemory = 'm';

bool put(int fd, char word) {
  ssize_t n;
  do {
    n = ::send(fd, &word, 1, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  return n == 1;
}

/// The other side's next word; 0 when it has gone.
char get(int fd) {
  char word = 0;
  ssize_t n;
  do {
    n = ::recv(fd, &word, 1, 0);
  } while (n < 0 && errno == EINTR);
  return n == 1 ? word : '\0';
}

/// Replaces what is in the shared memory.
void write_shared(int fd, void const* data, std::size_t size) {
  if (ftruncate(fd, static_cast<off_t>(size)) != 0)
    throw std::system_error(errno, std::generic_category(), "ftruncate");
  if (size == 0) return;
  void* const to = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (to == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "no shared memory for counts");
  std::memcpy(to, data, size);
  munmap(to, size);
}

/// Calls `use` with what is in the shared memory.
template <class Use>
auto read_shared(int fd, Use&& use) {
  struct stat status {};
  if (fstat(fd, &status) != 0) throw std::system_error(errno, std::generic_category(), "fstat");
  auto const size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return use(std::span<std::byte const>{});
  void* const from = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (from == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "no shared memory for counts");
  struct Unmap {
    void* at;
    std::size_t size;
    ~Unmap() { munmap(at, size); }
  } const unmap{from, size};
  return use(std::span(static_cast<std::byte const*>(from), size));
}

/// Bytes of this process that no other shares: pages it wrote. 0 where the kernel does not tell.
std::uint64_t private_memory_bytes() {
  std::FILE* const file = std::fopen("/proc/self/smaps_rollup", "re");
  if (file == nullptr) return 0;
  std::uint64_t total = 0;
  char line[256];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    unsigned long long kib = 0;
    if (std::sscanf(line, "Private_Dirty: %llu", &kib) == 1) total += kib * 1024;
  }
  std::fclose(file);
  return total;
}

[[noreturn]] void run_child(int socket, int shared, std::function<void()> const& prepare,
                            std::function<Counts()> const& count) {
  try {
    prepare();
    if (!put(socket, kReady) || get(socket) != kGo) _exit(1);
    Counts const counts = count();
    std::vector<std::byte> const bytes = counts.write();
    write_shared(shared, bytes.data(), bytes.size());
    if (!put(socket, kCounted) || get(socket) != kEnd) _exit(1);
    std::uint64_t const memory = private_memory_bytes();
    write_shared(shared, &memory, sizeof memory);
    put(socket, kMemory);
    _exit(0);
  } catch (std::exception const& failure) {
    try {
      write_shared(shared, failure.what(), std::strlen(failure.what()));
      put(socket, kThrew);
    } catch (...) {
    }
  } catch (...) {
  }
  _exit(1);
}

}  // namespace

ShardProcess::ShardProcess(std::function<void()> const& prepare, std::function<Counts()> const& count) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    throw std::system_error(errno, std::generic_category(), "no socket pair for a shard");
  }
  socket_ = sockets[0];
  shared_ = memfd_create("tally", MFD_CLOEXEC);
  pid_t const parent = getpid();
  if (shared_ >= 0) pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    close(sockets[0]);
    run_child(sockets[1], shared_, prepare, count);
  }
  int const error = errno;
  close(sockets[1]);
  if (pid_ < 0) {
    close(socket_);
    if (shared_ >= 0) close(shared_);
    throw std::system_error(error, std::generic_category(), "no process for a shard");
  }
}

ShardProcess::ShardProcess(ShardProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      socket_(std::exchange(other.socket_, -1)),
      shared_(std::exchange(other.shared_, -1)) {}

ShardProcess::~ShardProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (socket_ >= 0) close(socket_);
  if (shared_ >= 0) close(shared_);
}

void ShardProcess::lost(std::string const& what) {
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  if (!what.empty()) throw ShardLost(what);
  if (WIFSIGNALED(status)) {
    throw ShardLost("a shard's process was killed by signal " + std::to_string(WTERMSIG(status)));
  }
  throw ShardLost("a shard's process ended early with exit status " + std::to_string(WEXITSTATUS(status)));
}

void ShardProcess::wait_for(char expected) {
  char const word = get(socket_);
  if (word == expected) return;
  if (word != kThrew) lost("");
  lost(read_shared(shared_, [](std::span<std::byte const> bytes) {
    return std::string(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  }));
}

void ShardProcess::wait_ready() { wait_for(kReady); }

void ShardProcess::release() { put(socket_, kGo); }

Counts ShardProcess::take_counts() {
  wait_for(kCounted);
  return read_shared(shared_, [](std::span<std::byte const> bytes) { return Counts::read(bytes); });
}

std::uint64_t ShardProcess::finish() {
  put(socket_, kEnd);
  wait_for(kMemory);
  std::uint64_t const memory = read_shared(shared_, [](std::span<std::byte const> bytes) {
    std::uint64_t value = 0;
    if (bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  });
  waitpid(std::exchange(pid_, -1), nullptr, 0);
  return memory;
}

}  // namespace tally
