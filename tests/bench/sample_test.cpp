#include "bench/analysis/sample.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <ctime>
#include <filesystem>

#include "bench/machine/system_limits.hpp"
#include "bench/process/child_watch.hpp"
#include "bench/sampling/measure.hpp"
#include "bench/services/ping.hpp"
#include "bench/services/service_process.hpp"
#include "tests/bench/closed_port.hpp"
#include "tests/broken/broken_models.hpp"
#include "workloads/events/synthetic.hpp"
#include "workloads/lookup/lookup_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

std::size_t open_descriptors() {
  auto const begin = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
}

bool has_children() { return ::waitpid(-1, nullptr, WNOHANG) >= 0; }

class SampleOf : public testing::Test {
 protected:
  static constexpr std::uint64_t kEvents = 10'007;

  Measured take(CpuRun run, std::chrono::nanoseconds timeout = 30s, std::uint64_t batch = kAutoBatch) {
    Model const model{.name = "model", .summary = "of a test", .cpu = run};
    return measure(model, *stream_, {.workers = 1, .batch = batch, .cpus = {usable_cpus().front()}},
                   expected_, {timeout, stop_});
  }
  std::string failure(CpuRun run) { return take(run).sample.failure; }

  void TearDown() override {
    EXPECT_FALSE(has_children()) << "a process was left behind, or not reaped";
    EXPECT_EQ(open_descriptors(), descriptors_before_) << "descriptors were left open";
  }

  std::size_t descriptors_before_ = open_descriptors();  // before the signals' pipe; see the constructor
  StopSignals stop_;
  SyntheticEvents events_{{.seed = 7, .keys = 100, .skew = 1}, kEvents};
  std::unique_ptr<CpuStream> stream_ = make_synthetic_stream(events_, kEvents, {}, 1ms);
  Counts expected_ = [this] {
    Counts counts = stream_->empty_tally();
    stream_->count({0, kEvents}, counts);
    return counts;
  }();
  SampleOf() { descriptors_before_ = open_descriptors(); }
};

bool contains(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(SampleOf, ARightModelHasFiguresAndNoFailure) {
  Sample const s = take(broken::right).sample;
  EXPECT_EQ(s.failure, "");
  EXPECT_EQ(s.events, kEvents);
  EXPECT_EQ(s.workers_ran, 1);
  EXPECT_EQ(s.tasks, (kEvents + 63) / 64);
  EXPECT_GT(s.elapsed.count(), 0);
  EXPECT_GE(s.startup.count(), 0);
  EXPECT_GE(s.teardown.count(), 0);
  EXPECT_GT(s.peak_rss_bytes, 100'000u);
  EXPECT_GT(s.items_per_second(), 0);
}

TEST_F(SampleOf, EveryWrongCountIsCaughtWithTheDifference) {
  for (CpuRun const run :
       {broken::loses_an_event, broken::doubles_an_event, broken::swaps_an_event, broken::misfiles_by_key,
        broken::misfiles_by_window, broken::drops_the_last_batch, broken::forgets_a_tally}) {
    Sample const s = take(run).sample;
    EXPECT_TRUE(s.failure.starts_with("wrong count: ")) << s.failure;
    EXPECT_GT(s.failure.size(), std::string("wrong count: ").size() + 10) << s.failure;
    EXPECT_EQ(s.events, 0u) << "a failed sample has no figures";
    EXPECT_EQ(s.elapsed.count(), 0);
  }
}

TEST_F(SampleOf, AMisfiledKeyIsShownWithExpectedAndGot) {
  std::string const text = failure(broken::misfiles_by_key);
  EXPECT_TRUE(contains(text, "expected")) << text;
  EXPECT_TRUE(contains(text, "got")) << text;
}

TEST_F(SampleOf, AWatchNeverStartedIsCaught) {
  EXPECT_TRUE(contains(failure(broken::never_starts_its_watch), "never started its watch"));
}

TEST_F(SampleOf, WorkersThatAreNotAsManyAsTheLabelSaysAreCaught) {
  EXPECT_EQ(failure(broken::reports_one_worker_too_many), "ran 2 workers where 1 were asked for");
}

TEST_F(SampleOf, TasksThatAreNotTheBatchesAskedForAreCaught) {
  constexpr std::uint64_t kBatch = 10;
  EXPECT_EQ(take(broken::right, 30s, kBatch).sample.failure, "");
  EXPECT_EQ(take(broken::right, 30s, kBatch).sample.tasks, 1'001u);
  EXPECT_EQ(take(broken::merges_two_tasks, 30s, kBatch).sample.failure,
            "ran 1000 tasks where the stream has 1001 batches");
  EXPECT_EQ(take(broken::schedules_64_tasks_at_once, 30s, kBatch).sample.failure,
            "made 16 scheduling objects for 1001 tasks");
}

TEST_F(SampleOf, AnExceptionIsNamed) {
  EXPECT_EQ(failure(broken::throws), "threw: the queue is on fire");
  EXPECT_EQ(failure(broken::throws_a_number), "threw something that is no std::exception");
}

TEST_F(SampleOf, ACrashIsNamedByItsSignal) {
  EXPECT_EQ(failure(broken::segfaults), "killed by signal 11 (Segmentation fault) without a result");
  EXPECT_EQ(failure(broken::is_killed), "killed by signal 9 (Killed) without a result");
}

TEST_F(SampleOf, AnExitWithoutAResultIsNamed) {
  EXPECT_EQ(failure(broken::exits), "exited with status 3 without a result");
}

TEST_F(SampleOf, AHangEndsWithTheTimeOut) {
  Measured const measured = take(broken::hangs, 100ms);
  EXPECT_EQ(measured.ending, Ending::timed_out);
  EXPECT_EQ(measured.sample.failure, "no result within 100 ms: killed");
}

TEST_F(SampleOf, AProcessThatTheModelLeftBehindIsKilled) {
  Sample const s = take(broken::leaves_a_grandchild).sample;
  EXPECT_EQ(s.failure, "");
  EXPECT_EQ(::kill(static_cast<pid_t>(s.tasks), 0), -1) << "the grandchild lives";
}

TEST_F(SampleOf, ATimeOutTakesTheModelsOwnProcessesToo) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  broken::grandchild_announcement = ends[1];
  EXPECT_EQ(take(broken::hangs_with_a_grandchild, 300ms).ending, Ending::timed_out);
  pid_t grandchild = 0;
  ASSERT_EQ(::read(ends[0], &grandchild, sizeof grandchild), static_cast<ssize_t>(sizeof grandchild));
  EXPECT_EQ(::kill(grandchild, 0), -1) << "the grandchild lives";
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(SampleOf, ASignalEndsItWithoutAVerdict) {
  ::raise(SIGTERM);
  EXPECT_EQ(take(broken::hangs).ending, Ending::interrupted);
}

TEST_F(SampleOf, ASignalDuringItEndsItToo) {
  pid_t const self = ::getpid();
  pid_t const other = ::fork();
  if (other == 0) {
    std::this_thread::sleep_for(50ms);
    ::kill(self, SIGINT);
    ::_exit(0);
  }
  EXPECT_EQ(take(broken::hangs).ending, Ending::interrupted);
  ::waitpid(other, nullptr, 0);
}

/// Reports in its tasks how many CPUs it may use, and which is the first.
Counts tells_its_cpus(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  Counts counts = broken::right(stream, setup, watch);
  counts.tasks = usable_cpus().size() * 1000 + static_cast<std::uint64_t>(usable_cpus().front());
  return counts;
}

TEST_F(SampleOf, TheModelRunsOnTheCpusOfItsSetupAlone) {
  Model const model{.name = "model", .summary = "tells its CPUs", .cpu = tells_its_cpus};
  int const cpu = usable_cpus().back();
  Sample const s =
      measure(model, *stream_, {.workers = 1, .batch = kAutoBatch, .cpus = {cpu}}, expected_, {30s, stop_})
          .sample;
  EXPECT_EQ(s.failure, "");
  EXPECT_EQ(s.tasks, 1000u + static_cast<std::uint64_t>(cpu));
}

/// Counts right, and leaves its work to a process of its own: 30 ms of a CPU.
Counts works_in_a_child(CpuStream const& stream, Setup const& setup, Stopwatch& watch) {
  Counts counts = broken::right(stream, setup, watch);
  pid_t const child = ::fork();
  if (child == 0) {
    while (std::clock() < 30 * CLOCKS_PER_SEC / 1000) {
    }
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  return counts;
}

TEST_F(SampleOf, TheCpuTimeOfItsProcessesIsInItsAccount) {
  Sample const s = take(works_in_a_child).sample;
  EXPECT_EQ(s.failure, "");
  EXPECT_GE(s.user_s + s.sys_s, 0.029);
}

TEST_F(SampleOf, VerificationIsNotInTheAccounts) {
  // The model does nothing, on a stream of no events, so all that the process computes is the harness's own.
  auto const empty = make_synthetic_stream(events_, 0, {}, 0ns);
  Counts const nothing = empty->empty_tally();
  Model const model{.name = "model", .summary = "right", .cpu = broken::right};
  Sample const s = measure(model, *empty, {.workers = 1, .cpus = {}}, nothing, {30s, stop_}).sample;
  EXPECT_EQ(s.failure, "");
  EXPECT_EQ(s.events, 0u);
}

TEST(SampleThatCannotBe, OnAStreamThatTheModelDoesNotRunIsAMistakeOfTheCaller) {
  StopSignals const stop;
  SyntheticEvents const events({}, 1);
  auto const stream = make_synthetic_stream(events, 1, {}, 0ns);
  Model const none{.name = "none", .summary = "runs nothing"};
  EXPECT_THROW(measure(none, *stream, {}, stream->empty_tally(), {1s, stop}), std::logic_error);
}

class ServiceBeside : public testing::Test {
 protected:
  static constexpr std::uint64_t kEvents = 50;
  StopSignals stop_;
  ServiceProcess service_{{.keys = {.seed = 3, .keys = 10, .skew = 0}}, {}, stop_};
  std::unique_ptr<LookupStream> stream_ = make_lookup_stream({.seed = 3, .keys = 10, .skew = 0}, kEvents, {},
                                                             0ns, LookupTarget(service_.address()));
};

TEST_F(ServiceBeside, AnswersALookupModelAndKeepsItsAccounts) {
  service_.set_wait({.mean = 100us, .distribution = WaitDistribution::fixed});
  ServiceAccount const before = service_.account();
  Sample const s =
      measure(broken::kRight, *stream_, {.workers = 1, .cpus = {}}, stream_->reference(), {30s, stop_})
          .sample;
  EXPECT_EQ(s.failure, "");
  EXPECT_EQ(s.replies, kEvents);
  EXPECT_GE(s.elapsed, kEvents * 100us) << "no reply may come early";
  ServiceAccount const after = service_.account();
  EXPECT_EQ(after.replies - before.replies, kEvents);
  EXPECT_GT(after.cpu_s, before.cpu_s);
  EXPECT_TRUE(lateness_p99_s(after.lateness));
}

TEST_F(ServiceBeside, ThatDiesIsNoticedAndCanBeStartedAgainOnItsPort) {
  std::uint16_t const port = service_.address().port;
  ::kill(service_.pid(), SIGKILL);
  Model const hangs{.name = "hangs", .summary = "for ever", .lookup = broken::never_asks};
  Measured const measured = measure(hangs, *stream_, {.workers = 1, .cpus = {}}, stream_->reference(),
                                    {30s, stop_, {service_.pidfd()}});
  EXPECT_EQ(measured.ending, Ending::other_process);
  EXPECT_EQ(service_.death(), "killed by signal 9 (Killed)");
  service_.restart();
  EXPECT_FALSE(service_.death());
  EXPECT_EQ(service_.address().port, port);
  EXPECT_NO_THROW(ping(service_.address(), 2s, stop_));
}

TEST(Service, IsGoneWhenItsOwnerIs) {
  StopSignals const stop;
  pid_t pid = 0;
  ServiceAddress address;
  {
    ServiceProcess const service({}, {}, stop);
    pid = service.pid();
    address = service.address();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_THROW(ping(address, 2s, stop), ServiceFailed);
}

TEST(Service, TellsItsLatenessByBucket) {
  std::vector<std::uint64_t> buckets(ServiceControl::kLatenessBuckets);
  EXPECT_FALSE(lateness_p99_s(buckets));
  buckets[1] = 99;
  buckets[10] = 1;
  EXPECT_DOUBLE_EQ(*lateness_p99_s(buckets), 10e-6) << "99 of 100 are below the end of bucket 1";
  buckets[10] = 2;
  EXPECT_DOUBLE_EQ(*lateness_p99_s(buckets), 55e-6);
}

/// A listening socket of the test's, where `serve` has one connection.
class FakeService {
 public:
  explicit FakeService(void (*serve)(int connection))
      : listener_(blocking(listen_on_loopback(0))), thread_([this, serve] {
          int const connection = ::accept(listener_, nullptr, nullptr);
          if (connection < 0) return;
          serve(connection);
          ::close(connection);
        }) {}
  ~FakeService() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  ServiceAddress address() const { return {.port = local_port(listener_)}; }

 private:
  static int blocking(int fd) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
  }

  int listener_;
  std::thread thread_;
};

std::string ping_failure(ServiceAddress address, std::chrono::milliseconds timeout = 30s) {
  StopSignals const stop;
  try {
    ping(address, timeout, stop);
  } catch (ServiceFailed const& e) {
    return e.what();
  }
  return "";
}

void read_request(int connection) {
  char bytes[64];
  EXPECT_GT(::recv(connection, bytes, sizeof bytes, 0), 0);
}
void answer(int connection, std::string_view text) {
  read_request(connection);
  EXPECT_EQ(::send(connection, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

TEST(Ping, IsContentWithPong) {
  FakeService const fake([](int c) { answer(c, "+PONG\r\n"); });
  EXPECT_EQ(ping_failure(fake.address()), "");
}
TEST(Ping, ShowsRubbish) {
  FakeService const fake([](int c) { answer(c, "HTTP/1.1 400 Bad Request\r\n"); });
  std::string const text = ping_failure(fake.address());
  EXPECT_TRUE(contains(text, "answered PING with \"HTTP/1.1 400")) << text;
}
TEST(Ping, SaysThatTheConnectionWasClosed) {
  FakeService const fake([](int c) { read_request(c); });
  EXPECT_TRUE(contains(ping_failure(fake.address()), "closed the connection"));
}
TEST(Ping, DoesNotWaitForEver) {
  FakeService const fake([](int c) {
    read_request(c);
    char byte;
    EXPECT_EQ(::recv(c, &byte, 1, 0), 0) << "until the other side gives up";
  });
  EXPECT_TRUE(contains(ping_failure(fake.address(), 200ms), "no answer within 200 ms"));
}
TEST(Ping, SaysThatNobodyListens) {
  ClosedPort const port;
  ServiceAddress const address{.port = port.number()};
  EXPECT_TRUE(contains(ping_failure(address), "Connection refused")) << ping_failure(address);
}

}  // namespace
}  // namespace tally
