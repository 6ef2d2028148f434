#include "bench/commands/count_progress.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <string>
#include <string_view>

#include "bench/base/units.hpp"
#include "bench/output/progress.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

constexpr auto kBetween = 250ms;

void write_error(std::string_view text) noexcept {
  // Nobody who reads it minds a lost one.
  [[maybe_unused]] auto const written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

void CountProgress::Unmap::operator()(Shared* shared) const noexcept { munmap(shared, sizeof(Shared)); }

CountProgress::CountProgress(bool wanted, std::uint64_t file_bytes)
    : file_bytes_(file_bytes), began_(std::chrono::steady_clock::now()) {
  if (!wanted || !isatty(STDERR_FILENO)) return;
  void* const page = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::bad_alloc();
  shared_.reset(new (page) Shared);
}

CountProgress::~CountProgress() {
  if (shared_ && shared_->written_ns.load() != 0) write_error(kEraseLine);
}

void CountProgress::counted(std::uint64_t bytes) noexcept {
  if (!shared_) return;
  shared_->counted.fetch_add(bytes, std::memory_order_relaxed);
  std::chrono::nanoseconds const taken = std::chrono::steady_clock::now() - began_;
  std::int64_t before = shared_->written_ns.load(std::memory_order_relaxed);
  if (taken.count() - before < std::chrono::nanoseconds(kBetween).count()) return;
  // Whoever sets it writes; the others count on.
  if (shared_->written_ns.compare_exchange_strong(before, taken.count())) write(taken);
}

void CountProgress::file_read(std::uint64_t bytes) noexcept {
  if (shared_) shared_->read.store(bytes, std::memory_order_relaxed);
}

void CountProgress::write(std::chrono::nanoseconds taken) const noexcept {
  try {
    auto const counted = static_cast<double>(shared_->counted.load(std::memory_order_relaxed));
    auto const read = shared_->read.load(std::memory_order_relaxed);
    double const seconds = std::chrono::duration<double>(taken).count();
    std::string line = format_bytes(counted) + ", " + format_bytes(counted / seconds) + "/s";
    double const done = read != 0 ? static_cast<double>(read) : counted;
    auto const all = static_cast<double>(file_bytes_);
    if (file_bytes_ != 0 && done > 0 && done <= all) {
      line += ", " + format_percent(done / all, 0);
      if (done < all) line += ", " + format_seconds(seconds * (all - done) / done) + " left";
    }
    write_error(std::string(kEraseLine) + line);
  } catch (std::bad_alloc const&) {
    // The next one, then.
  }
}

}  // namespace tally
