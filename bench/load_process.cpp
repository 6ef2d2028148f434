#include "bench/load_process.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

namespace tally {

/// What both processes see; zeroed at first.
struct LoadProcess::Shared {
  LoadAccount account;
  std::atomic<bool> failed;
  char failure[256];
};

namespace {

using namespace std::chrono_literals;

/// Between two looks at what only the server's process can change.
constexpr auto kLook = 50us;
/// From when all connections are served until the schedule begins.
constexpr auto kHeadStart = 1ms;

}  // namespace

LoadProcess::LoadProcess(LoadSchedule const& schedule, IngestStream const& stream, LoadConfig const& config) {
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "memory shared with the load generator");
  shared_ = static_cast<Shared*>(memory);
  auto const body = [&] {
    IngestControl& control = stream.control();
    try {
      LoadGenerator generator(schedule, stream.address(), shared_->account, config.spin);
      while (control.listening.load(std::memory_order_acquire) == 0) std::this_thread::sleep_for(kLook);
      generator.connect();
      // Refused ones are told so when they send.
      while (control.served.load(std::memory_order_acquire) +
                 control.refused.load(std::memory_order_acquire) <
             config.connections_first)
        std::this_thread::sleep_for(kLook);
      auto const begin = std::chrono::steady_clock::now() + kHeadStart;
      control.began_ns.store(begin.time_since_epoch().count(), std::memory_order_release);
      generator.send(begin);
    } catch (LoadFailed const& e) {
      std::strncpy(shared_->failure, e.what(), sizeof shared_->failure - 1);
      shared_->failed.store(true, std::memory_order_release);
      ::_exit(1);
    }
    for (;;) ::pause();
  };
  try {
    process_ = std::make_unique<HelperProcess>("the load generator", config.cpus, body);
  } catch (...) {
    ::munmap(shared_, sizeof(Shared));
    throw;
  }
}

LoadProcess::~LoadProcess() {
  process_.reset();
  ::munmap(shared_, sizeof(Shared));
}

LoadAccount const& LoadProcess::account() const noexcept { return shared_->account; }

std::optional<std::string> LoadProcess::failure() {
  auto const death = process_->death();
  if (!death) return std::nullopt;
  if (shared_->failed.load(std::memory_order_acquire)) return std::string(shared_->failure);
  return "the load generator ended: " + *death;
}

}  // namespace tally
