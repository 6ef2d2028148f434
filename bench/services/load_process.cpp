#include "bench/services/load_process.hpp"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

namespace tally {

namespace {

using namespace std::chrono_literals;

/// Between two looks at what only the server's process can change.
constexpr auto kLook = 50us;
/// From when all connections are served until the schedule begins.
constexpr auto kHeadStart = 1ms;

}  // namespace

LoadProcess::LoadProcess(LoadSchedule const& schedule, IngestStream const& stream, LoadConfig const& config) {
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
  process_ = std::make_unique<HelperProcess>("the load generator", config.cpus, body);
}

LoadAccount const& LoadProcess::account() const noexcept { return shared_->account; }

std::optional<std::string> LoadProcess::failure() {
  auto const death = process_->death();
  if (!death) return std::nullopt;
  if (shared_->failed.load(std::memory_order_acquire)) return std::string(shared_->failure);
  return "the load generator ended: " + *death;
}

}  // namespace tally
