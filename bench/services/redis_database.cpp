#include "bench/services/redis_database.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <exception>
#include <fstream>
#include <random>
#include <string_view>
#include <thread>
#include <utility>

#include "bench/services/ping.hpp"

namespace tally {
namespace {

using Kind = RedisReply::Kind;

/// Commands under way at once while keys are loaded, and keys that one command names: some 100 KB.
constexpr std::uint64_t kBatch = 1000;
/// A server that is just being started again answers within this.
constexpr std::chrono::seconds kRemoveWithin{3};
constexpr std::chrono::milliseconds kBetweenTries{100};

/// The value of `name` in what INFO says, "" if it does not say.
std::string field(std::string const& info, std::string_view name) {
  std::string const begin = std::string(name) + ":";
  std::size_t at = 0;
  while ((at = info.find(begin, at)) != std::string::npos && at != 0 && info[at - 1] != '\n') ++at;
  if (at == std::string::npos) return "";
  at += begin.size();
  return info.substr(at, info.find_first_of("\r\n", at) - at);
}

template <class Number>
Number number_in(std::string const& info, std::string_view name) {
  std::string const text = field(info, name);
  Number value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// The CPUs that the process of a server on this machine may run on; none if that is not it.
std::vector<int> cpus_of_server(ServiceAddress const& address, std::string const& info) {
  if (address.host >> 24 != 127) return {};
  auto const pid = number_in<pid_t>(info, "process_id");
  std::ifstream comm("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(comm, name);
  cpu_set_t set;
  CPU_ZERO(&set);
  // In a container of its own it has another number here.
  if (!name.starts_with("redis") || ::sched_getaffinity(pid, sizeof set, &set) != 0) return {};
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  return cpus;
}

/// None if what answers is no Redis.
std::optional<RedisFacts> read_facts(RedisConnection& connection, ServiceAddress const& address) {
  RedisReply const info = connection.ask_all({RedisCommand{"INFO"}}).front();
  if (info.kind == Kind::error && !info.text.starts_with("ERR unknown command"))
    connection.fail_with(info.text);
  RedisFacts facts;
  if (info.kind == Kind::text) facts.version = field(info.text, "redis_version");
  if (facts.version.empty()) return std::nullopt;
  facts.run_id = field(info.text, "run_id");
  facts.mode = field(info.text, "redis_mode");
  facts.role = field(info.text, "role");
  facts.maxmemory_policy = field(info.text, "maxmemory_policy");
  facts.maxmemory_bytes = number_in<std::uint64_t>(info.text, "maxmemory");
  facts.cpus = cpus_of_server(address, info.text);
  // Not every user may ask that.
  RedisReply const threads = connection.ask_all({{"CONFIG", "GET", "io-threads"}}).front();
  if (threads.items.size() == 2) {
    int number = 0;
    std::string const& text = threads.items[1].text;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{})
      facts.io_threads = number;
  }
  return facts;
}

/// "tally:" and 48 random bits: of a million runs, no two have the same.
std::string draw_prefix() {
  std::random_device random;
  std::uint64_t const bits = ((std::uint64_t{random()} << 32) | random()) & 0xffff'ffff'ffff;
  std::array<char, 13> digits{};
  std::snprintf(digits.data(), digits.size(), "%012llx", static_cast<unsigned long long>(bits));
  return std::string("tally:") + digits.data() + ":";
}

}  // namespace

std::unique_ptr<RedisDatabase> RedisDatabase::open(RedisUrl const& url, ServiceAddress const& address) {
  RedisConnection connection(url, address);
  auto facts = read_facts(connection, address);
  if (!facts) return nullptr;
  return std::unique_ptr<RedisDatabase>(
      new RedisDatabase(url, address, std::move(connection), std::move(*facts)));
}

RedisDatabase::RedisDatabase(RedisUrl url, ServiceAddress const& address, RedisConnection connection,
                             RedisFacts facts)
    : url_(std::move(url)),
      address_(address),
      connection_(std::move(connection)),
      facts_(std::move(facts)),
      prefix_(draw_prefix()) {}

RedisDatabase::~RedisDatabase() {
  if (std::string const left = remove(); !left.empty()) std::fprintf(stderr, "tally: %s\n", left.c_str());
}

LookupTarget RedisDatabase::target() const {
  LookupTarget target(address_);
  for (RedisCommand const& command : greeting_of(url_)) target.greeting.push_back(as_request(command));
  target.prefix = prefix_;
  target.slots = slots_;
  return target;
}

/// A new one, if the last was lost.
RedisConnection& RedisDatabase::connection() {
  if (!connection_) connection_.emplace(url_, address_);
  return *connection_;
}

template <class Visit>
void RedisDatabase::each_batch(std::uint64_t slots, Visit&& visit) {
  for (std::uint64_t begin = 0; begin < slots; begin += kBatch) visit(begin, std::min(begin + kBatch, slots));
}

void RedisDatabase::load(KeySpec const& spec, std::uint64_t slots, StopSignals const& stop) {
  slots_ = std::max<std::uint64_t>(slots, 1);
  // Made first: from the first key on, there is somebody to remove it.
  cleanup_ = std::make_unique<CleanupProcess>("a process that removes the run's keys", [this] {
    connection_.reset();  // the parent's
    stored_ = slots_;     // so many at most: how far the parent got, nobody can say any more
    if (std::string const left = remove(); !left.empty()) std::fprintf(stderr, "tally: %s\n", left.c_str());
  });
  KeyGenerator const keys(spec);
  auto const unless_stopped = [&stop] {
    if (stop.requested()) throw Interrupted("interrupted while keys were loaded");
  };
  evicted_before_ = number_in<std::uint64_t>(connection().ask({"INFO", "stats"}).text, "evicted_keys");
  each_batch(slots_, [&](std::uint64_t begin, std::uint64_t end) {
    unless_stopped();
    store(keys, begin, end);
  });
  each_batch(slots_, [&](std::uint64_t begin, std::uint64_t end) {
    unless_stopped();
    check(keys, begin, end);
  });
}

void RedisDatabase::store(KeyGenerator const& keys, std::uint64_t begin, std::uint64_t end) {
  std::vector<RedisCommand> commands;
  for (std::uint64_t slot = begin; slot < end; ++slot)
    commands.push_back({"SET", name(slot), std::to_string(keys.key(slot)), "NX"});
  stored_ = end;  // should the connection end meanwhile, some of them are there
  auto const replies = connection().ask_all(commands);
  if (std::none_of(replies.begin(), replies.end(), [](RedisReply const& r) { return r.kind == Kind::text; }))
    stored_ = begin;
  for (RedisReply const& reply : replies) {
    if (reply.kind == Kind::error) connection().fail_with(reply.text);
    if (reply.kind == Kind::null)
      throw ServiceFailed(url_.shown() + " has keys that begin with " + prefix_ +
                          " already: they are another's; run it again, and another prefix is drawn");
  }
}

void RedisDatabase::check(KeyGenerator const& keys, std::uint64_t begin, std::uint64_t end) {
  RedisCommand command{"MGET"};
  for (std::uint64_t slot = begin; slot < end; ++slot) command.push_back(name(slot));
  RedisReply const values = connection().ask(command);
  for (std::uint64_t slot = begin; slot < end; ++slot) {
    auto const at = static_cast<std::size_t>(slot - begin);
    if (at < values.items.size() && values.items[at].text == std::to_string(keys.key(slot))) continue;
    std::string const lost = missing_keys();
    throw ServiceFailed(lost.empty() ? url_.shown() + " has another value of " + name(slot) + " than was set"
                                     : lost);
  }
}

RedisAccount RedisDatabase::account() {
  RedisReply info;
  try {
    info = connection().ask({"INFO"});
  } catch (ServiceFailed const&) {
    connection_.reset();
    info = connection().ask({"INFO"});
  }
  if (field(info.text, "run_id") != facts_.run_id)
    throw ServiceFailed(url_.shown() +
                        " was started again in mid-run: its keys of this run, and its account, are not "
                        "what they were");
  RedisAccount account;
  auto const sum = [&](char const* user, char const* sys) {
    return number_in<double>(info.text, user) + number_in<double>(info.text, sys);
  };
  account.cpu_s = sum("used_cpu_user", "used_cpu_sys");
  account.main_thread_s = field(info.text, "used_cpu_user_main_thread").empty()
                              ? account.cpu_s
                              : sum("used_cpu_user_main_thread", "used_cpu_sys_main_thread");
  return account;
}

std::uint64_t RedisDatabase::count_keys() {
  std::uint64_t there = 0;
  each_batch(stored_, [&](std::uint64_t begin, std::uint64_t end) {
    RedisCommand command{"EXISTS"};
    for (std::uint64_t slot = begin; slot < end; ++slot) command.push_back(name(slot));
    there += static_cast<std::uint64_t>(connection().ask(command).number);
  });
  return there;
}

std::string RedisDatabase::missing_keys() {
  account();
  std::uint64_t const there = count_keys();
  if (there == slots_) return "";
  std::string const stats = connection().ask({"INFO", "stats"}).text;
  bool const evicts = number_in<std::uint64_t>(stats, "evicted_keys") > evicted_before_;
  std::string const memory = connection().ask({"INFO", "memory"}).text;
  return url_.shown() + " has lost " + std::to_string(slots_ - there) + " of the run's " +
         std::to_string(slots_) + " keys: " +
         (evicts ? "it evicts keys (maxmemory-policy " + field(memory, "maxmemory_policy") + ", maxmemory " +
                       field(memory, "maxmemory") + " bytes): give it more maxmemory, or name another"
                 : "somebody else removed them (FLUSHALL, FLUSHDB or DEL)");
}

void RedisDatabase::delete_all() {
  each_batch(stored_, [&](std::uint64_t begin, std::uint64_t end) {
    RedisCommand command{"DEL"};
    for (std::uint64_t slot = begin; slot < end; ++slot) command.push_back(name(slot));
    connection().ask(command);
  });
  if (std::uint64_t const there = count_keys(); there > 0)
    throw ServiceFailed(url_.shown() + " still has " + std::to_string(there) + " of them");
}

std::string RedisDatabase::remove() noexcept {
  std::string left;
  try {
    auto const until = std::chrono::steady_clock::now() + kRemoveWithin;
    while (stored_ > 0) {
      try {
        delete_all();
        stored_ = 0;
        left.clear();
      } catch (ServiceFailed const& e) {
        left = "keys of this run may be left (" + std::string(e.what()) + "): " + how_to_remove();
        connection_.reset();
        if (std::chrono::steady_clock::now() >= until) break;
        std::this_thread::sleep_for(kBetweenTries);
      }
    }
  } catch (std::exception const& e) {
    std::fprintf(stderr, "tally: keys %s* may be left: %s\n", prefix_.c_str(), e.what());
  }
  stored_ = 0;
  cleanup_.reset();
  return left;
}

std::string RedisDatabase::how_to_remove() const {
  std::string host = describe(address_);
  host.resize(host.rfind(':'));
  std::string client = "redis-cli -h " + host + " -p " + std::to_string(address_.port);
  if (url_.database) client += " -n " + std::to_string(*url_.database);
  if (!url_.user.empty()) client += " --user '" + url_.user + "'";
  return std::string("remove them with: ") + client + " --scan --pattern '" + prefix_ + "*' | xargs -r " +
         client + " del" + (url_.password.empty() ? "" : " (with the password in REDISCLI_AUTH)");
}

}  // namespace tally
