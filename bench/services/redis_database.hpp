// A real database that lookups ask: its keys of this run, and its account of itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/process/cleanup_process.hpp"
#include "bench/process/stop_signals.hpp"
#include "bench/services/redis_connection.hpp"
#include "workloads/events/synthetic.hpp"

namespace tally {

/// What a Redis server says of itself (INFO, CONFIG GET), as it was when the run began. Empty where it does
/// not say.
struct RedisFacts {
  std::string version;
  std::string run_id;  ///< another after each start
  std::string mode;    ///< standalone, cluster
  std::string role;    ///< master, slave
  std::string maxmemory_policy;
  std::uint64_t maxmemory_bytes = 0;  ///< 0: no limit
  std::optional<int> io_threads;
  std::vector<int> cpus;  ///< that it may run on, if it is on this machine
};

/// What the server's process has done so far; a sample's share is a difference of two.
struct RedisAccount {
  double cpu_s = 0;          ///< of all its threads
  double main_thread_s = 0;  ///< of the one that runs commands: what is left of a CPU bounds every lookup
};

/// The keys that a run needs, in a Redis database: `<prefix><slot>`, whose value is the key that is counted,
/// in decimal. Loaded and checked by load(), removed by remove(), by the destructor, or, if this process ends
/// without, by a process that waits for that. No other key is read or written. The prefix is random, so no
/// two runs meet.
class RedisDatabase {
 public:
  /// Of events without number, so many have keys of their own: 100,000 take some 9 MB in Redis and half a
  /// second to load and remove.
  static constexpr std::uint64_t kMostSlots = 100'000;

  /// Connects to `url`, whose address is `address`. Null if what answers there is no Redis: another lookup
  /// service. Throws ServiceFailed: refused, wants a password, and the like.
  static std::unique_ptr<RedisDatabase> open(RedisUrl const& url, ServiceAddress const& address);
  ~RedisDatabase();
  RedisDatabase(RedisDatabase const&) = delete;
  RedisDatabase& operator=(RedisDatabase const&) = delete;

  /// Loads the keys of events 0 to `slots` - 1 as the generator of `keys` draws them, at least one, and
  /// checks that they are there. Call once, single-threaded: it forks. Throws ServiceFailed that says what to
  /// do, Interrupted between two batches; what was loaded is removed with this object.
  void load(KeySpec const& keys, std::uint64_t slots, StopSignals const& stop);

  /// Whom to ask, and how: for a stream of the same keys.
  LookupTarget target() const;
  RedisUrl const& url() const noexcept { return url_; }
  ServiceAddress const& address() const noexcept { return address_; }
  RedisFacts const& facts() const noexcept { return facts_; }
  std::string const& prefix() const noexcept { return prefix_; }
  std::uint64_t slots() const noexcept { return slots_; }

  /// Throws ServiceFailed, also where the server has been started again since it was opened.
  RedisAccount account();
  /// Of a lookup that failed: what has become of the run's keys, as a sentence; empty if they are all there.
  /// Throws as account() does.
  std::string missing_keys();
  /// Removes the keys of the run, trying for a few seconds where nobody answers. Returns what is left and how
  /// to remove it, in a line; empty if all is gone. Then, and also if it failed, there is nothing more to
  /// remove.
  std::string remove() noexcept;

 private:
  RedisDatabase(RedisUrl url, ServiceAddress const& address, RedisConnection connection, RedisFacts facts);
  std::string name(std::uint64_t slot) const { return prefix_ + std::to_string(slot); }
  std::string how_to_remove() const;
  /// Calls visit(begin, end) for parts of the first so many slots, in order.
  template <class Visit>
  static void each_batch(std::uint64_t slots, Visit&& visit);
  std::uint64_t count_keys();
  void store(KeyGenerator const& keys, std::uint64_t begin, std::uint64_t end);
  void check(KeyGenerator const& keys, std::uint64_t begin, std::uint64_t end);
  void delete_all();
  RedisConnection& connection();

  RedisUrl url_;
  ServiceAddress address_;
  std::optional<RedisConnection> connection_;  // none after it was lost
  RedisFacts facts_;
  std::string prefix_;
  std::uint64_t slots_ = 0;
  std::uint64_t stored_ = 0;  // of the slots, the first that may have a key in the database
  std::uint64_t evicted_before_ = 0;
  std::unique_ptr<CleanupProcess> cleanup_;
};

}  // namespace tally
