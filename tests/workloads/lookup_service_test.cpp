// The lookup service as its clients see it, over loopback, in a process of its own.
#include "workloads/lookup/lookup_service.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "workloads/lookup/lookup_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

KeySpec const kKeys{.seed = 5, .keys = 1000, .skew = 0};
/// Far beyond what anything here takes: a test that meets it has found a hang.
constexpr auto kPatience = 30s;

/// A service in a child process; stopped, and its exit checked, with its owner.
class Service {
 public:
  explicit Service(
      WaitSpec wait = {}, bool spin = false, std::function<void()> in_child = [] {}) {
    void* const memory =
        ::mmap(nullptr, sizeof(ServiceControl), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    control = static_cast<ServiceControl*>(memory);
    set_wait(wait);
    int const listener = listen_on_loopback(0);
    port = local_port(listener);
    int stop[2];
    if (::pipe2(stop, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(stop[1]);
      in_child();
      int status = 0;
      try {
        serve_lookups({kKeys, port, spin}, listener, stop[0], *control);
      } catch (std::exception const& e) {
        std::fprintf(stderr, "service: %s\n", e.what());
        status = 1;
      }
      ::_exit(status);
    }
    ::close(stop[0]);
    ::close(listener);
    stop_ = stop[1];
  }
  ~Service() {
    EXPECT_EQ(stop(), 0);
    ::munmap(control, sizeof *control);
  }
  Service(Service const&) = delete;
  Service& operator=(Service const&) = delete;

  /// Closes the stop pipe and waits for the end. The exit status, or -1 for one that had to be killed.
  int stop() {
    if (pid_ <= 0) return 0;
    ::close(stop_);
    int status = 0;
    auto const give_up = Clock::now() + kPatience;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
      if (Clock::now() > give_up) ::kill(pid_, SIGKILL);
      std::this_thread::sleep_for(1ms);
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void set_wait(WaitSpec wait) {
    control->wait_ns = wait.mean.count();
    control->distribution = static_cast<int>(wait.distribution);
  }
  /// True as soon as `condition` holds; false if it does not within kPatience.
  template <class F>
  bool eventually(F condition) {
    for (auto const give_up = Clock::now() + kPatience; Clock::now() < give_up;) {
      if (condition(*control)) return true;
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }

  ServiceControl* control = nullptr;
  std::uint16_t port = 0;

 private:
  pid_t pid_ = 0;
  int stop_ = -1;
};

class Client {
 public:
  explicit Client(Service const& service, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(service.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::system_error(errno, std::generic_category(), "connect");
    timeval const patience{std::chrono::seconds(kPatience).count(), 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Client() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t const n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) throw std::system_error(errno, std::generic_category(), "send");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  /// `size` bytes, or as many as come before the end of the stream (or kPatience).
  std::string receive(std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t got = 0;
    while (got < size) {
      ssize_t const n = ::recv(fd_, bytes.data() + got, size - got, 0);
      if (n <= 0) break;
      got += static_cast<std::size_t>(n);
    }
    bytes.resize(got);
    return bytes;
  }
  std::string ask(std::string_view request, std::size_t reply_size) {
    send(request);
    return receive(reply_size);
  }
  /// True if the service has closed the connection and sent nothing more.
  bool ended() {
    char byte;
    return ::recv(fd_, &byte, 1, 0) == 0;
  }
  /// True if nothing has come.
  bool silent() {
    pollfd p{fd_, POLLIN, 0};
    return ::poll(&p, 1, 0) == 0;
  }
  void finish_sending() { ::shutdown(fd_, SHUT_WR); }

 private:
  int fd_;
};

std::string get(std::uint64_t event) {
  char bytes[LookupStream::kMaxRequestBytes];
  return {bytes, make_lookup_stream(kKeys, 1, {}, {}, {})->request(event, bytes)};
}
std::string value(std::uint64_t event) {
  static KeyGenerator const keys(kKeys);
  std::string const key = std::to_string(keys.key(event));
  return "$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
}

TEST(LookupService, AnswersItsCommands) {
  Service service;
  Client client(service);
  struct {
    std::string request, reply;
  } const cases[] = {
      {"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
      {"*2\r\n$4\r\nping\r\n$2\r\nhi\r\n", "$2\r\nhi\r\n"},
      {"PING\r\n", "+PONG\r\n"},
      {get(0), value(0)},
      {get(123456789), value(123456789)},
      {"get event:7\r\n", value(7)},
      {"GET other\r\n", "$-1\r\n"},
      {"GET event:\r\n", "$-1\r\n"},
      {"GET event:1x\r\n", "$-1\r\n"},
      {"GET event:99999999999999999999999\r\n", "$-1\r\n"},
      {"GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"},
      {"GET a b\r\n", "-ERR wrong number of arguments for 'get' command\r\n"},
      {"PING a b\r\n", "-ERR wrong number of arguments for 'ping' command\r\n"},
      {"*1\r\n$5\r\nSE\r\nT\r\n", "-ERR unknown command 'SE\\r\\nT'\r\n"},
      {"*1\r\n$0\r\n\r\n", "-ERR unknown command ''\r\n"},
  };
  for (auto const& c : cases) EXPECT_EQ(client.ask(c.request, c.reply.size()), c.reply) << c.request;
  EXPECT_TRUE(client.silent());
}

TEST(LookupService, ClosesAfterQuitAndSendsWhatWasAskedBefore) {
  Service service({20ms, WaitDistribution::fixed});
  Client client(service);
  std::string const all = value(1) + "+OK\r\n";
  EXPECT_EQ(client.ask(get(1) + "QUIT\r\nPING\r\n", all.size()), all);
  EXPECT_TRUE(client.ended());
}

TEST(LookupService, NamesAProtocolErrorAndCloses) {
  Service service;
  Client client(service);
  std::string const error = "-ERR Protocol error: expected '$', got 'x'\r\n";
  EXPECT_EQ(client.ask("*1\r\nx", error.size()), error);
  EXPECT_TRUE(client.ended());
  Client next(service);
  EXPECT_EQ(next.ask("PING\r\n", 7), "+PONG\r\n");
}

TEST(LookupService, ReadsRequestsByteByByte) {
  Service service;
  Client client(service);
  for (char const c : get(42) + "PING\r\n") {
    client.send({&c, 1});
    std::this_thread::sleep_for(100us);
  }
  EXPECT_EQ(client.receive(value(42).size() + 7), value(42) + "+PONG\r\n");
}

TEST(LookupService, AnswersPipelinedRequestsInOrderWhateverTheirDelays) {
  Service service({2ms, WaitDistribution::exponential});
  Client client(service);
  std::string requests, replies;
  for (std::uint64_t event = 0; event < 200; ++event) {
    requests += get(event);
    replies += value(event);
    if (event % 50 == 0) {
      requests += "PING " + std::to_string(event) + "\r\n";
      std::string const number = std::to_string(event);
      replies += "$" + std::to_string(number.size()) + "\r\n" + number + "\r\n";
    }
  }
  EXPECT_EQ(client.ask(requests, replies.size()), replies);
}

TEST(LookupService, KeepsAClientThatAsksForMoreThanItReadsFromTakingMemory) {
  Service service;
  Client client(service, 4096);
  // More replies than socket buffers and the service's own limits hold: it must stop reading, and lose
  // nothing.
  constexpr std::uint64_t kRequests = 200'000;
  std::string requests, replies;
  for (std::uint64_t event = 0; event < kRequests; ++event) {
    requests += get(event);
    replies += value(event);
  }
  std::string sent_error;
  std::thread writer([&] {
    try {
      client.send(requests);
    } catch (std::exception const& e) {
      sent_error = e.what();
    }
  });
  std::string const got = client.receive(replies.size());
  writer.join();
  EXPECT_EQ(sent_error, "");
  EXPECT_TRUE(got == replies) << got.size() << " of " << replies.size() << " bytes";
  EXPECT_EQ(service.control->replies, kRequests);
}

TEST(LookupService, ReadsOnAfterAPauseThoughNothingNewArrives) {
  Service service({50ms, WaitDistribution::fixed});
  Client client(service);
  // More than the service reads at once and lets wait, all sent before the first reply is due.
  std::string requests, replies;
  for (std::uint64_t event = 0; event < 3500; ++event) {
    requests += get(event);
    replies += value(event);
  }
  EXPECT_TRUE(client.ask(requests, replies.size()) == replies);
}

TEST(LookupService, IsNeverEarly) {
  for (bool const spin : {false, true}) {
    WaitSpec const wait{1ms, WaitDistribution::exponential};
    Service service(wait, spin);
    Client client(service);
    for (std::uint64_t event = 0; event < 100; ++event) {
      auto const asked = Clock::now();
      ASSERT_EQ(client.ask(get(event), value(event).size()), value(event));
      EXPECT_GE(Clock::now() - asked, draw_wait(wait, kKeys.seed, event)) << "event " << event;
    }
  }
}

TEST(LookupService, TakesTheWaitThatItIsGivenBetweenRequests) {
  Service service({30s, WaitDistribution::fixed});
  Client slow(service), fast(service);
  slow.send(get(1));
  ASSERT_TRUE(service.eventually([](auto& c) { return c.requests == 1; }));
  service.set_wait({0ns, WaitDistribution::fixed});
  EXPECT_EQ(fast.ask(get(2), value(2).size()), value(2));
  EXPECT_TRUE(slow.silent());
}

TEST(LookupService, ServesTwoThousandConnectionsAtOnce) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_cur < 2200) GTEST_SKIP() << "needs 2200 open files; the limit is " << files.rlim_cur;
  for (bool const spin : {false, true}) {
    Service service({20ms, WaitDistribution::exponential}, spin);
    std::vector<Client> clients;
    for (int i = 0; i < 2000; ++i) clients.emplace_back(service);
    for (std::uint64_t i = 0; i < clients.size(); ++i) clients[i].send(get(i));
    for (std::uint64_t i = 0; i < clients.size(); ++i)
      ASSERT_EQ(clients[i].receive(value(i).size()), value(i)) << i;
    EXPECT_EQ(service.control->connections, 2000U);
    clients.clear();
    EXPECT_TRUE(service.eventually([](auto& c) { return c.connections == 0; }));
  }
}

TEST(LookupService, GivesNoReplyOfAClientThatVanishedToTheNextOne) {
  Service service({60ms, WaitDistribution::fixed});
  Client first(service);
  first.send(get(1));
  ASSERT_TRUE(service.eventually([](auto& c) { return c.requests == 1; }));
  first.close();
  ASSERT_TRUE(service.eventually([](auto& c) { return c.connections == 0; }));
  Client second(service);  // gets the same descriptor in the service
  EXPECT_EQ(second.ask("PING\r\n", 7), "+PONG\r\n");
  std::this_thread::sleep_for(80ms);  // the vanished client's reply was due
  EXPECT_TRUE(second.silent());
  EXPECT_EQ(second.ask(get(2), value(2).size()), value(2));
}

TEST(LookupService, SeesAnEndThatComesTogetherWithARequest) {
  Service service({30s, WaitDistribution::fixed});
  for (int i = 0; i < 50; ++i) {
    Client client(service);
    client.send(get(1));
    client.finish_sending();
    ASSERT_TRUE(client.ended());
  }
  EXPECT_TRUE(service.eventually([](auto& c) { return c.connections == 0; }));
}

TEST(LookupService, CountsWhatItDoes) {
  Service service({1ms, WaitDistribution::exponential});
  Client client(service);
  for (std::uint64_t event = 0; event < 50; ++event) client.ask(get(event), value(event).size());
  client.ask("GET nothing\r\n", 5);
  client.ask("PING\r\n", 7);
  EXPECT_EQ(service.control->requests, 51U);
  EXPECT_EQ(service.control->replies, 51U);
  EXPECT_EQ(service.control->connections, 1U);
  std::uint64_t timed = 0;
  for (auto const& bucket : service.control->lateness) timed += bucket;
  EXPECT_EQ(timed, 50U);
  EXPECT_GT(service.control->busy_ns, 0);
}

TEST(LookupService, IsNotBusyWhileItWaits) {
  Service service({200ms, WaitDistribution::fixed}, true);
  Client client(service);
  client.ask(get(1), value(1).size());
  client.ask("PING\r\n", 7);
  // It spun for 200 ms; what it did takes microseconds. Half of the time is far from both.
  EXPECT_LT(service.control->busy_ns, 100'000'000);
}

TEST(LookupService, RefusesInWordsWhenDescriptorsRunOutAndGoesOn) {
  Service service({}, false, [] {
    rlimit const few{24, 24};
    if (::setrlimit(RLIMIT_NOFILE, &few) != 0) ::_exit(3);
  });
  std::vector<Client> clients;
  for (int i = 0; i < 40; ++i) clients.emplace_back(service);
  for (std::size_t i = 24; i < clients.size(); ++i)
    EXPECT_EQ(clients[i].receive(1000), "-ERR max number of clients reached\r\n") << i;
  EXPECT_EQ(clients[0].ask("PING\r\n", 7), "+PONG\r\n");
  clients.clear();
  ASSERT_TRUE(service.eventually([](auto& c) { return c.connections == 0; }));
  Client after(service);
  EXPECT_EQ(after.ask("PING\r\n", 7), "+PONG\r\n");
}

TEST(LookupService, EndsWhenToldWithConnectionsOpen) {
  for (bool const spin : {false, true}) {
    Service service({30s, WaitDistribution::fixed}, spin);
    Client client(service);
    client.send(get(1));
    ASSERT_TRUE(service.eventually([](auto& c) { return c.requests == 1; }));
    EXPECT_EQ(service.stop(), 0);
    EXPECT_TRUE(client.ended());
  }
}

TEST(LookupService, NamesAPortInUse) {
  int const taken = listen_on_loopback(0);
  std::uint16_t const port = local_port(taken);
  try {
    ::close(listen_on_loopback(port));
    ADD_FAILURE() << "listened twice on port " << port;
  } catch (std::system_error const& e) {
    EXPECT_EQ(e.code().value(), EADDRINUSE);
    EXPECT_NE(std::string{e.what()}.find("port " + std::to_string(port)), std::string::npos) << e.what();
  }
  ::close(taken);
}

TEST(WaitQuantile, IsThatOfItsDistribution) {
  EXPECT_NEAR(wait_quantile(WaitDistribution::exponential, 99), std::log(100), 1e-9);
  EXPECT_EQ(wait_quantile(WaitDistribution::fixed, 99), 1);
  EXPECT_NEAR(wait_quantile(WaitDistribution::lognormal, 50), std::exp(-0.5), 1e-6);
  EXPECT_NEAR(wait_quantile(WaitDistribution::lognormal, 99), std::exp(2.3263479 - 0.5), 1e-4);
}

}  // namespace
}  // namespace tally
