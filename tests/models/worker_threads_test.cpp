#include "models/runtime/worker_threads.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <system_error>

#include "workloads/counting/counts.hpp"

namespace tally {
namespace {

Counts one_event(std::uint32_t key) {
  Counts counts = Counts::dense(10);
  ++counts.dense_row(0)[key];
  ++counts.events;
  return counts;
}

TEST(WorkerThreads, WorkOnceAllStandReadyAndTheirTalliesAreMerged) {
  Stopwatch watch;
  std::vector<Counts> tallies;
  for (std::uint32_t w = 0; w < 4; ++w) tallies.push_back(one_event(w));
  std::atomic<int> prepared{0}, saw_all{0};
  bool meanwhile = false;
  WorkerThreads threads(4, [&](int, WorkerThreads::Self& self) {
    ++prepared;
    if (!self.stand_ready()) return;
    if (prepared == 4 && watch.elapsed().count() <= 0) ++saw_all;
  });
  Counts const counts = time_workers(threads, watch, tallies, [&] { meanwhile = true; });
  EXPECT_EQ(saw_all, 4);
  EXPECT_TRUE(meanwhile);
  EXPECT_TRUE(watch.ran());
  EXPECT_EQ(counts.events, 4u);
}

TEST(WorkerThreads, OneThatCannotPrepareKeepsAllFromWorkingAndIsReported) {
  Stopwatch watch;
  std::vector<Counts> tallies;
  tallies.push_back(one_event(0));
  std::atomic<int> worked{0};
  bool meanwhile = false;
  WorkerThreads threads(4, [&](int w, WorkerThreads::Self& self) {
    if (w == 2) throw std::runtime_error("no connection");
    if (self.stand_ready()) ++worked;
  });
  try {
    time_workers(threads, watch, tallies, [&] { meanwhile = true; });
    ADD_FAILURE() << "the failure was lost";
  } catch (std::runtime_error const& failure) {
    EXPECT_STREQ(failure.what(), "no connection");
  }
  EXPECT_EQ(worked, 0);
  EXPECT_FALSE(meanwhile);
}

TEST(WorkerThreads, OneThatFailsAtWorkIsWaitedForAndReported) {
  Stopwatch watch;
  std::vector<Counts> tallies;
  tallies.push_back(one_event(0));
  std::atomic<int> worked{0};
  WorkerThreads threads(4, [&](int w, WorkerThreads::Self& self) {
    if (!self.stand_ready()) return;
    if (w == 2) throw std::runtime_error("wrong");
    ++worked;
  });
  EXPECT_THROW(time_workers(threads, watch, tallies), std::runtime_error);
  EXPECT_EQ(worked, 3);
}

TEST(WorkerThreads, ThatAreNeverStartedEnd) {
  std::atomic<int> worked{0};
  {
    WorkerThreads threads(3, [&](int, WorkerThreads::Self& self) {
      if (self.stand_ready()) ++worked;
    });
    threads.wait_ready();
  }
  EXPECT_EQ(worked, 0);
}

#if !defined(TALLY_ADDRESS_SANITIZER) && \
    !defined(TALLY_THREAD_SANITIZER)  // which need more address space than this leaves
TEST(WorkerThreads, OneThatCannotBeStartedEndsThoseBeforeIt) {
  auto const start_too_many = [] {
    // Room for a few stacks of 8 MiB more.
    std::FILE* const file = std::fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (file == nullptr || std::fscanf(file, "%lu", &pages) != 1) std::_Exit(3);
    rlim_t const bytes = pages * static_cast<unsigned long>(getpagesize()) + 100'000'000;
    rlimit const limit{bytes, bytes};
    if (setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(4);
    std::atomic<int> started{0};
    try {
      WorkerThreads threads(1000, [&](int, WorkerThreads::Self& self) {
        ++started;
        self.stand_ready();
      });
    } catch (std::system_error const&) {
      std::_Exit(started > 0 ? 0 : 5);
    }
    std::_Exit(6);
  };
  EXPECT_EXIT(start_too_many(), testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace tally
