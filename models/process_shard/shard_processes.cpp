#include "models/process_shard/shard_processes.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "models/process_shard/shared_futex.hpp"
#include "workloads/base/errno_failure.hpp"

namespace tally {
namespace {

// What the parent says to all shards, one after the other.
constexpr std::uint32_t kPrepare = 0, kCount = 1, kEnd = 2;

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

/// Memory for rows: those of a shard begin at a page of their own, and only what is counted in is resident.
std::shared_ptr<std::uint64_t> shared_rows(std::size_t words) {
  std::size_t const bytes = words * sizeof(std::uint64_t);
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail_with_errno("no shared memory for the counts of shards");
  return {static_cast<std::uint64_t*>(memory), [bytes](std::uint64_t* rows) { munmap(rows, bytes); }};
}

}  // namespace

/// One shard's side of the shared memory. What it handed over lies in the memfd.
struct ShardProcesses::Slot {
  SharedWord stage;  // a Stage; the parent sleeps on it
  std::uint64_t offset, size;
  std::uint64_t memory_bytes;
};

struct ShardProcesses::Shared {
  SharedWord word;  // the parent's last word; shards sleep on it
  alignas(64) SharedWord for_the_model;
  alignas(64) std::atomic<std::uint64_t> handed_over;  // bytes of the memfd that are taken
};

ShardProcesses::Slot& ShardProcesses::slot(std::size_t shard) const {
  return reinterpret_cast<Slot*>(shared_ + 1)[shard];
}

ShardProcesses::Stage ShardProcesses::stage(std::size_t shard) const {
  return static_cast<Stage>(slot(shard).stage.load(std::memory_order_acquire));
}

std::span<std::uint64_t> ShardProcesses::rows_of(std::size_t shard) const {
  return row_words_ == 0 ? std::span<std::uint64_t>{}
                         : std::span(rows_.get() + shard * row_words_, row_words_);
}

ShardProcesses::ShardProcesses(std::size_t shards, EmptyTally empty_tally, std::uint64_t windows)
    : room_(shards), empty_tally_(std::move(empty_tally)) {
  Counts const empty = empty_tally_();
  if (empty.kind() == KeyKind::dense && windows > 0) {
    constexpr std::size_t kPageWords = 4096 / sizeof(std::uint64_t);
    row_words_ = (windows * empty.keys() + kPageWords - 1) / kPageWords * kPageWords;
    rows_ = shared_rows(shards * row_words_);
  }
  // Populated: no page is faulted in while the watch runs.
  void* const memory = mmap(nullptr, sizeof(Shared) + shards * sizeof(Slot), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) fail_with_errno("no shared memory for shards");
  shared_ = static_cast<Shared*>(memory);  // zeroed, as all its members begin
  counts_ = memfd_create("tally-counts", MFD_CLOEXEC);
  if (counts_ < 0) {
    int const error = errno;
    munmap(memory, sizeof(Shared) + shards * sizeof(Slot));
    errno = error;
    fail_with_errno("no shared memory for counts");
  }
  pids_.reserve(shards);
}

ShardProcesses::~ShardProcesses() {
  for (pid_t const pid : pids_) {
    if (pid > 0) kill(pid, SIGKILL);
  }
  for (pid_t const pid : pids_) {
    if (pid > 0) waitpid(pid, nullptr, 0);
  }
  close(counts_);
  munmap(shared_, sizeof(Shared) + room_ * sizeof(Slot));
}

SharedWord& ShardProcesses::word() noexcept { return shared_->for_the_model; }

void ShardProcesses::add(std::function<void()> const& prepare, std::function<void(Counts&)> const& count) {
  if (pids_.size() == room_) throw std::logic_error("more shards than there is room for");
  pid_t const parent = getpid();
  pid_t const pid = fork();
  if (pid < 0) fail_with_errno("no process for a shard");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    run_child(pids_.size(), prepare, count);
  }
  pids_.push_back(pid);
}

void ShardProcesses::run_child(std::size_t shard, std::function<void()> const& prepare,
                               std::function<void(Counts&)> const& count) {
  Slot& slot = this->slot(shard);
  try {
    prepare();
    reach(slot, Stage::ready);
    wait_for_word(kCount);
    Counts counts = empty_tally_();
    counts.place_rows(rows_of(shard));
    count(counts);
    std::vector<std::byte> const bytes = counts.write();
    hand_over(slot, bytes.data(), bytes.size());
    reach(slot, Stage::counted);
    wait_for_word(kEnd);
    slot.memory_bytes = private_memory_bytes();
    reach(slot, Stage::reported);
    _exit(0);
  } catch (std::exception const& failure) {
    try {
      hand_over(slot, failure.what(), std::strlen(failure.what()));
      reach(slot, Stage::threw);
    } catch (...) {
      // The parent learns of it by the exit status.
    }
  } catch (...) {
  }
  _exit(1);
}

void ShardProcesses::reach(Slot& slot, Stage stage) {
  slot.stage.store(static_cast<std::uint32_t>(stage), std::memory_order_release);
  futex_wake_all(slot.stage);
}

void ShardProcesses::wait_for_word(std::uint32_t word) {
  for (std::uint32_t now; (now = shared_->word.load(std::memory_order_acquire)) < word;) {
    futex_wait(shared_->word, now, nullptr);
  }
}

void ShardProcesses::say(std::uint32_t word) {
  shared_->word.store(word, std::memory_order_release);
  futex_wake_all(shared_->word);
}

void ShardProcesses::hand_over(Slot& slot, void const* data, std::size_t size) {
  slot.offset = shared_->handed_over.fetch_add(size, std::memory_order_relaxed);
  slot.size = size;
  for (std::size_t written = 0; written < size;) {
    ssize_t const n = pwrite(counts_, static_cast<char const*>(data) + written, size - written,
                             static_cast<off_t>(slot.offset + written));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_with_errno("no shared memory for counts");
    written += static_cast<std::size_t>(n);
  }
}

std::vector<std::byte> ShardProcesses::handed_over(Slot const& slot) const {
  std::vector<std::byte> bytes(slot.size);
  for (std::size_t got = 0; got < bytes.size();) {
    ssize_t const n =
        pread(counts_, bytes.data() + got, bytes.size() - got, static_cast<off_t>(slot.offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_with_errno("a shard's counts cannot be read");
    got += static_cast<std::size_t>(n);
  }
  return bytes;
}

void ShardProcesses::wait_until(std::size_t shard, Stage wanted) {
  for (Stage now; (now = stage(shard)) < wanted;) {
    // Nobody wakes us for another shard that fails, or for one that is killed, so now and then we look.
    constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 100'000'000};
    futex_wait(slot(shard).stage, static_cast<std::uint32_t>(now), &kLook);
    if (stage(shard) == now) check();
  }
  check_threw(shard);
}

void ShardProcesses::check_threw(std::size_t shard) const {
  if (stage(shard) != Stage::threw) return;
  auto const what = handed_over(slot(shard));
  throw ShardLost(std::string(reinterpret_cast<char const*>(what.data()), what.size()));
}

/// Throws ShardLost if any shard threw or ended early.
void ShardProcesses::check() {
  for (std::size_t shard = 0; shard < pids_.size(); ++shard) check_threw(shard);
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    auto const ended = std::find(pids_.begin(), pids_.end(), pid);
    if (ended == pids_.end()) continue;
    *ended = -1;
    auto const shard = static_cast<std::size_t>(ended - pids_.begin());
    check_threw(shard);
    if (stage(shard) >= Stage::reported) continue;
    if (WIFSIGNALED(status)) {
      throw ShardLost("a shard's process was killed by signal " + std::to_string(WTERMSIG(status)));
    }
    throw ShardLost("a shard's process ended early with exit status " + std::to_string(WEXITSTATUS(status)));
  }
}

void ShardProcesses::wait_ready() {
  for (std::size_t shard = 0; shard < pids_.size(); ++shard) wait_until(shard, Stage::ready);
}

void ShardProcesses::release() { say(kCount); }

Counts ShardProcesses::merged() {
  Counts counts = empty_tally_();
  if (rows_) counts.keep(rows_);
  // Each as soon as it is there: while the last ones count, the first are merged.
  for (std::size_t shard = 0; shard < pids_.size(); ++shard) {
    wait_until(shard, Stage::counted);
    counts.merge(Counts::read(handed_over(slot(shard)), rows_of(shard)));
  }
  return counts;
}

std::uint64_t ShardProcesses::finish() {
  say(kEnd);
  std::uint64_t memory_bytes = 0;
  for (std::size_t shard = 0; shard < pids_.size(); ++shard) {
    wait_until(shard, Stage::reported);
    memory_bytes += slot(shard).memory_bytes;
    if (pids_[shard] > 0) waitpid(std::exchange(pids_[shard], -1), nullptr, 0);
  }
  return memory_bytes;
}

Counts time_shards(ShardProcesses& shards, Setup const& setup, Stopwatch& watch,
                   std::function<void()> const& meanwhile) {
  shards.wait_ready();
  // On lookup too workers are CPUs, which the processes share; the processes are the events in flight.
  for (int w = 0; w < setup.workers; ++w) watch.worker_ready();
  watch.start();
  shards.release();
  if (meanwhile) meanwhile();
  Counts counts = shards.merged();
  watch.stop();
  watch.add_child_memory(shards.finish());
  return counts;
}

}  // namespace tally
