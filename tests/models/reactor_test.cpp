// The reactor, over epoll and over io_uring: whatever a model may rest on holds for both.
#include "models/runtime/io/reactor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/machine/system_limits.hpp"
#include "bench/plan/plan.hpp"
#include "models/runtime/io/uring.hpp"
#include "workloads/base/owned_fd.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

/// Few and small, so that a test runs out of them.
constexpr ReceiveBuffers kFew{.count = 4, .bytes = 64};
/// More turns of the loop than any test takes: then it has failed.
constexpr int kMostTurns = 20'000;

/// Two connected sockets; ours does not block.
struct Pair {
  Pair() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("socketpair");
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
  void send(std::string const& bytes) const {
    ASSERT_EQ(::send(theirs.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  /// What the other end has been sent by now; without waiting.
  std::string received() const {
    char bytes[256];
    ssize_t const n = ::recv(theirs.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    return n > 0 ? std::string(bytes, static_cast<std::size_t>(n)) : "";
  }
  OwnedFd ours, theirs;
};

/// Keeps what it receives, at each telling at most so much at a time and so often.
struct Receiver : ReadyHandler {
  explicit Receiver(Reactor& reactor, int socket) : ReadyHandler{told_so} {
    transfer = reactor.add(socket, *this, Wanted::bytes);
  }
  Receiver(Receiver const&) = delete;
  Receiver& operator=(Receiver const&) = delete;

  static bool told_so(ReadyHandler& self) {
    auto& me = static_cast<Receiver&>(self);
    ++me.told;
    return me.when_told ? me.when_told() : me.receive(1'000'000);
  }
  /// True.
  bool receive(int times) {
    for (int i = 0; i < times && !ended; ++i) {
      char room[128];
      Received const received = transfer.receive(fd, std::span(room).first(at_once), MSG_DONTWAIT);
      if (received.error == EAGAIN) return true;
      error = received.error;
      ended = received.bytes.empty();
      got.append(received.bytes.data(), received.bytes.size());
    }
    return true;
  }

  Transfer transfer;
  std::function<bool()> when_told{};  ///< in place of receiving all
  std::size_t at_once = 128;
  std::string got{};
  bool ended = false;
  int error = 0, told = 0;
};

/// So many bytes that tell where they are from.
std::string numbered(std::size_t bytes, std::size_t seed = 0) {
  std::string text;
  for (std::size_t i = seed * 1000; text.size() < bytes; ++i) text += std::to_string(i) + ",";
  text.resize(bytes);
  return text;
}

class ReactorOver : public testing::TestWithParam<Io> {
 protected:
  void SetUp() override {
    if (GetParam() == Io::io_uring && !why_no_uring().empty()) GTEST_SKIP() << why_no_uring();
    reactor.emplace(GetParam(), &kFew);
  }
  /// Runs the loop until `done`, for kMostTurns at most.
  void run_until(std::function<bool()> const& done) {
    for (int turn = 0; turn < kMostTurns && !done(); ++turn) reactor->run_once(100ms);
    ASSERT_TRUE(done());
  }
  void run_some_turns() {
    for (int turn = 0; turn < 10; ++turn) reactor->run_once(0ns);
  }
  std::optional<Reactor> reactor;
};

INSTANTIATE_TEST_SUITE_P(Reactor, ReactorOver, testing::Values(Io::epoll, Io::io_uring),
                         [](auto const& over) { return std::string(name_of(over.param)); });

struct Listener : ReadyHandler {
  explicit Listener(int times) : ReadyHandler{listen}, left(times) {}
  int left;
  int told = 0;
  static bool listen(ReadyHandler& self) {
    auto& me = static_cast<Listener&>(self);
    ++me.told;
    return --me.left > 0;
  }
};

TEST_P(ReactorOver, TellsAsLongAsItIsWantedAndNoLonger) {
  Pair pair;
  Listener listener(3);
  reactor->add(pair.ours.get(), listener);
  reactor->run_once(0ns);
  EXPECT_EQ(listener.told, 0);
  pair.theirs.reset();  // readable for ever, with nothing to read
  run_some_turns();
  EXPECT_EQ(listener.told, 3);
}

TEST_P(ReactorOver, TellsAgainOnceItIsWantedAgain) {
  Pair pair;
  Listener listener(1);
  reactor->add(pair.ours.get(), listener);
  pair.send("x");
  run_some_turns();
  EXPECT_EQ(listener.told, 1);
  listener.left = 2;
  reactor->resume(listener);
  run_some_turns();
  EXPECT_EQ(listener.told, 3);
}

TEST_P(ReactorOver, HandsOverAllBytesInTheirOrderAndThenTheEnd) {
  Pair pair;
  Receiver receiver(*reactor, pair.ours.get());
  std::string const sent = numbered(50'000);
  std::thread sender([&] {
    for (std::size_t at = 0, piece = 1; at < sent.size(); at += piece, piece = piece % 700 + 13) {
      piece = std::min(piece, sent.size() - at);
      pair.send(sent.substr(at, piece));
    }
    pair.theirs.reset();
  });
  run_until([&] { return receiver.ended; });
  sender.join();
  EXPECT_EQ(receiver.got, sent);
  EXPECT_EQ(receiver.error, 0);
}

TEST_P(ReactorOver, ConnectionsOfWhichThereAreMoreThanBuffersAllReceive) {
  std::vector<Pair> pairs(100);
  std::deque<Receiver> receivers;
  for (Pair const& pair : pairs) receivers.emplace_back(*reactor, pair.ours.get());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    pairs[i].send(numbered(300, i));
    pairs[i].theirs.reset();
  }
  run_until([&] {
    return std::all_of(receivers.begin(), receivers.end(), [](Receiver const& r) { return r.ended; });
  });
  for (std::size_t i = 0; i < pairs.size(); ++i) EXPECT_EQ(receivers[i].got, numbered(300, i));
}

TEST_P(ReactorOver, MoreCompletionsThanAQueueHoldsAreNotLost) {
  constexpr ReceiveBuffers kMany{.count = 16'384, .bytes = 64};
  Reactor many(GetParam(), &kMany);
  std::vector<Pair> pairs(16);
  std::deque<Receiver> receivers;
  for (Pair const& pair : pairs) {
    receivers.emplace_back(many, pair.ours.get());
    // Unasked, so that a ring receives on and on.
    receivers.back().when_told = [&receiver = receivers.back()] {
      return receiver.told < 5 || receiver.receive(1'000'000);
    };
  }
  many.run_once(0ns);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    pairs[i].send(numbered(60'000, i));
    pairs[i].theirs.reset();
  }
  for (int turn = 0; turn < kMostTurns; ++turn) {
    many.run_once(0ns);
    if (std::all_of(receivers.begin(), receivers.end(), [](Receiver const& r) { return r.ended; })) break;
  }
  for (std::size_t i = 0; i < pairs.size(); ++i) EXPECT_EQ(receivers[i].got, numbered(60'000, i));
}

TEST_P(ReactorOver, WhoLeavesSomethingIsToldAgain) {
  Pair pair;
  Receiver receiver(*reactor, pair.ours.get());
  receiver.at_once = 10;
  receiver.when_told = [&] { return receiver.receive(1); };
  pair.send(numbered(205));
  run_until([&] { return receiver.got.size() == 205; });
  EXPECT_EQ(receiver.got, numbered(205));
  EXPECT_GE(receiver.told, 21);
  int const told = receiver.told;
  run_some_turns();
  EXPECT_EQ(receiver.told, told);
}

TEST_P(ReactorOver, WhatIsReceivedLaterThanToldIsThere) {
  Pair pair;
  Receiver receiver(*reactor, pair.ours.get());
  receiver.when_told = [] { return true; };
  for (int i = 0; i < 20; ++i) {
    pair.send(std::to_string(i));
    run_until([&] { return receiver.told == i + 1; });
    receiver.receive(1'000);
    // As a fiber does, that runs once the loop has nothing more to tell.
    reactor->run_once(0ns);
    EXPECT_EQ(receiver.told, i + 1);
  }
  EXPECT_EQ(receiver.got, "012345678910111213141516171819");
}

TEST_P(ReactorOver, APausedHandlerLosesNothing) {
  Pair pair;
  Receiver receiver(*reactor, pair.ours.get());
  receiver.when_told = [] { return false; };
  pair.send(numbered(150));
  run_until([&] { return receiver.told == 1; });
  pair.send(numbered(200, 7));
  run_some_turns();
  EXPECT_EQ(receiver.told, 1);
  receiver.when_told = nullptr;
  reactor->resume(receiver);
  run_until([&] { return receiver.got.size() == 350; });
  EXPECT_EQ(receiver.got, numbered(150) + numbered(200, 7));
}

TEST_P(ReactorOver, AHandlerThatIsForgottenInTheSameTurnIsNotTold) {
  Pair pairs[2];
  std::unique_ptr<Receiver> receivers[2];
  int told = 0;
  for (int i = 0; i < 2; ++i) {
    receivers[i] = std::make_unique<Receiver>(*reactor, pairs[i].ours.get());
    receivers[i]->when_told = [&, i] {
      if (++told > 1) return true;
      reactor->forget(*receivers[1 - i]);
      receivers[1 - i].reset();
      pairs[1 - i].ours.reset();
      return true;
    };
  }
  pairs[0].send("x");
  pairs[1].send("y");
  reactor->run_once(0ns);
  reactor->run_once(0ns);
  EXPECT_GE(told, 1);
  EXPECT_EQ((receivers[0] == nullptr) + (receivers[1] == nullptr), 1);
}

TEST_P(ReactorOver, AHandlerMayGoInItsOwnTurn) {
  for (int i = 0; i < 20; ++i) {
    Pair pair;
    auto receiver = std::make_unique<Receiver>(*reactor, pair.ours.get());
    receiver->when_told = [&] {
      receiver->receive(1);
      EXPECT_EQ(receiver->got, std::to_string(i));
      reactor->forget(*receiver);
      pair.ours.reset();
      receiver.release();  // its call runs: deleted below
      return true;
    };
    Receiver* const told = receiver.get();
    pair.send(std::to_string(i));
    run_until([&] { return receiver == nullptr; });
    delete told;
    reactor->run_once(0ns);
  }
}

TEST_P(ReactorOver, WhatIsForgottenIsClosedAndItsPlaceTaken) {
  Pair first;
  auto gone = std::make_unique<Receiver>(*reactor, first.ours.get());
  run_some_turns();
  first.send("for nobody");
  reactor->forget(*gone);
  gone.reset();
  first.ours.reset();
  // The other end sees it, though a receive was under way.
  char byte;
  EXPECT_LE(::recv(first.theirs.get(), &byte, 1, 0), 0);

  Pair second;
  Receiver receiver(*reactor, second.ours.get());
  second.send("for the second");
  run_until([&] { return !receiver.got.empty(); });
  EXPECT_EQ(receiver.got, "for the second");
  EXPECT_EQ(receiver.error, 0);
}

TEST_P(ReactorOver, WhatHadCompletedForTheForgottenIsNobodys) {
  // More often than there are buffers, which come back although nobody wants what is in them.
  for (int i = 0; i < 20; ++i) {
    Pair pairs[4];
    Receiver teller(*reactor, pairs[0].ours.get());
    auto first = std::make_unique<Receiver>(*reactor, pairs[1].ours.get());
    auto second = std::make_unique<Receiver>(*reactor, pairs[2].ours.get());
    std::unique_ptr<Receiver> third;
    run_some_turns();
    teller.when_told = [&] {
      pairs[2].send("for nobody");
      // This asks the kernel for what has completed, but is no turn of the loop.
      reactor->forget(*first);
      pairs[1].ours.reset();
      reactor->forget(*second);
      pairs[2].ours.reset();
      third = std::make_unique<Receiver>(*reactor, pairs[3].ours.get());
      teller.when_told = nullptr;
      return true;
    };
    pairs[0].send("x");
    run_until([&] { return third != nullptr; });
    pairs[3].send("for the third");
    run_until([&] { return !third->got.empty(); });
    EXPECT_EQ(third->got, "for the third");
    for (Receiver* const receiver : {&teller, third.get()}) reactor->forget(*receiver);
  }
  // Not even one buffer is missing, besides what is held.
  Pair pairs[4];
  std::deque<Receiver> receivers;
  for (Pair const& pair : pairs) {
    receivers.emplace_back(*reactor, pair.ours.get());
    if (receivers.size() < 4) receivers.back().when_told = [] { return false; };
    pair.send("x");
    run_until([&] { return receivers.back().told > 0; });
  }
}

TEST_P(ReactorOver, AfterSettlingAllElseIsInTheSocket) {
  Pair pair, another;
  Receiver receiver(*reactor, pair.ours.get()), other(*reactor, another.ours.get());
  receiver.when_told = [] { return true; };
  pair.send("received ahead, ");
  run_some_turns();
  pair.send("perhaps ahead, ");
  reactor->forget(other);  // asks the kernel for what has completed
  receiver.transfer.settle();
  while (receiver.transfer.more()) receiver.receive(1);
  pair.send("in the socket");
  char rest[128];
  for (ssize_t n; (n = ::recv(pair.ours.get(), rest, sizeof rest, MSG_DONTWAIT)) > 0;)
    receiver.got.append(rest, static_cast<std::size_t>(n));
  EXPECT_EQ(receiver.got, "received ahead, perhaps ahead, in the socket");
}

TEST_P(ReactorOver, InterruptingEndsAWaitBeforeAndWhileItIs) {
  reactor->interrupt();
  reactor->run_once(std::nullopt);
  std::thread other([&] {
    std::this_thread::sleep_for(20ms);
    reactor->interrupt();
  });
  reactor->run_once(std::nullopt);
  other.join();
}

TEST_P(ReactorOver, ATimeOutEndsAWait) {
  Pair pair;
  Receiver receiver(*reactor, pair.ours.get());
  reactor->run_once(30ms);  // or sooner: a signal ends it too
  EXPECT_EQ(receiver.told, 0);
}

TEST_P(ReactorOver, WhatIsSentGoesWithTheTurn) {
  raise_open_files();
  std::vector<Pair> pairs(1'500);  // more than a queue of requests holds
  std::deque<Receiver> receivers;
  for (Pair const& pair : pairs) receivers.emplace_back(*reactor, pair.ours.get());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    std::string const text = "to " + std::to_string(i);
    ASSERT_EQ(receivers[i].transfer.send(pairs[i].ours.get(), text), 0);
  }
  reactor->run_once(0ns);
  for (std::size_t i = 0; i < pairs.size(); ++i) ASSERT_EQ(pairs[i].received(), "to " + std::to_string(i));
}

TEST_P(ReactorOver, AnotherThreadSendsAtOnce) {
  Pair pair;
  Receiver receiver(*reactor, pair.ours.get());
  reactor->run_once(0ns);
  std::thread([&] { EXPECT_EQ(receiver.transfer.send(pair.ours.get(), std::string("at once")), 0); }).join();
  EXPECT_EQ(pair.received(), "at once");
}

TEST_P(ReactorOver, WhoSendsToNobodyIsToldSo) {
  Pair pair;
  Receiver receiver(*reactor, pair.ours.get());
  pair.theirs.reset();
  receiver.transfer.send(pair.ours.get(), std::string("to nobody"));
  run_until([&] { return receiver.ended; });
  EXPECT_EQ(receiver.got, "");
}

TEST_P(ReactorOver, IsRunByTheThreadThatAttachesIt) {
  Pair pair;
  Receiver receiver(*reactor, pair.ours.get());
  std::thread([&] {
    reactor->attach();
    EXPECT_EQ(receiver.transfer.send(pair.ours.get(), std::string("question")), 0);
    reactor->run_once(0ns);
    EXPECT_EQ(pair.received(), "question");
    pair.send("answer");
    while (receiver.got.empty()) reactor->run_once(std::nullopt);
  }).join();
  EXPECT_EQ(receiver.got, "answer");
  // The loop goes on another thread than it ran on.
}

TEST(Uring, WhyThereIsNoneIsFoundOutOnce) {
  EXPECT_EQ(&why_no_uring(), &why_no_uring());
  if (!why_no_uring().empty()) {
    EXPECT_THROW(Reactor{Io::io_uring}, std::system_error);
  }
}

}  // namespace
}  // namespace tally
