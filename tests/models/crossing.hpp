// The crossing of the whole table: every model x stream x workers x kinds of stream equals sequential
// counting. A new model is tested by being listed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bench/process/child_watch.hpp"
#include "bench/process/stop_signals.hpp"
#include "bench/sampling/measure.hpp"
#include "models/model.hpp"
#include "models/runtime/io/uring.hpp"
#include "workloads/events/synthetic.hpp"

namespace tally {

/// What `make` makes of each key, made once: all models and workers count the same.
template <class Key, class Make>
auto& kept(Key const& key, Make const& make) {
  static std::map<Key, decltype(make())> all;
  auto const found = all.find(key);
  return found != all.end() ? found->second : all.emplace(key, make()).first->second;
}

struct Case {
  char const* what;
  std::uint64_t events;
  KeySpec keys;
};

inline std::vector<Case> cases(int workers) {
#ifdef TALLY_THREAD_SANITIZER
  // It makes each event ten times as slow, and finds races with fewer events too.
  constexpr std::uint64_t prime = 2'003, many = 1'000, skewed = 1'009;
#else
  constexpr std::uint64_t prime = 10'007, many = 5'000, skewed = 5'003;
#endif
  return {{"no event", 0, {}},
          {"one event", 1, {}},
          {"fewer events than workers", static_cast<std::uint64_t>(workers - 1), {}},
          {"a prime number of events", prime, {}},
          {"one key", many, {.keys = 1}},
          // So many keys that each has 4 bytes.
          {"heavily skewed", skewed, {.seed = 7, .keys = 70'000, .skew = 2.5}}};
}

/// For kept().
inline auto key_of(KeySpec const& keys) { return std::tuple(keys.seed, keys.keys, keys.skew); }

inline SyntheticEvents const& events_of(KeySpec const& keys, std::uint64_t events) {
  return kept(std::pair(key_of(keys), events), [&] { return SyntheticEvents(keys, events); });
}

class Crossing : public testing::TestWithParam<std::tuple<Model const*, int, Io>> {
 protected:
  static void SetUpTestSuite() { signals_.emplace(); }
  static void TearDownTestSuite() { signals_.reset(); }
  void SetUp() override {
    if (io() == Io::io_uring && !why_no_uring().empty()) GTEST_SKIP() << why_no_uring();
    if (!model().unavailable.empty()) GTEST_SKIP() << model().unavailable;
#ifdef TALLY_THREAD_SANITIZER
    // Boost.Context switches stacks in assembly that ThreadSanitizer knows nothing of, as Debian builds it:
    // it would take every fiber for a torn stack of one thread and report, or crash.
    if (model().name == "fibers") GTEST_SKIP() << "ThreadSanitizer cannot follow Boost.Context's stacks";
#endif
  }

  /// Under ThreadSanitizer, whether the tests of text formats skip the model. All models call the same code
  /// to read lines, which takes ten times as long there, so one model is enough.
  bool reads_lines_as_others_do() const {
#ifdef TALLY_THREAD_SANITIZER
    return model().name != "thread_pool";
#else
    return false;
#endif
  }

  Model const& model() const { return *std::get<0>(GetParam()); }
  int workers() const { return std::get<1>(GetParam()); }
  Io io() const { return std::get<2>(GetParam()); }
  /// Of sequential, one event in flight, whatever is said.
  tally::Setup setup(int in_flight = 1, std::uint64_t batch = 1) const {
    tally::Setup setup;
    setup.io = io();
    setup.workers = workers();
    setup.batch = batch;
    setup.in_flight = model().sequential ? 1 : in_flight;
    return setup;
  }

  /// `many` tasks; a twentieth of them for a model whose tasks are costly.
  std::uint64_t tasks(std::uint64_t many) const { return model().costly_tasks ? many / 20 : many; }

  /// One of the four combinations of two choices. They take turns, from one number of workers to the next
  /// too: what is counted at four turns, one after the other, has them all, and so has each of it with four
  /// numbers of workers.
  struct Choices {
    bool one, other;
  };
  Choices choices(std::size_t turn) const {
    turn +=
        static_cast<std::size_t>(std::find(kWorkers.begin(), kWorkers.end(), workers()) - kWorkers.begin());
    return {turn % 2 != 0, turn % 4 / 2 != 0};
  }

  /// Counts `stream` with the model, in a process of its own; the empty text if it equals `expected`.
  template <class Stream>
  std::string run(Stream const& stream, tally::Setup const& how, Counts const& expected) {
    Measured const measured =
        measure(model(), stream, how, expected, {.timeout = std::chrono::seconds(60), .stop = *signals_});
    return measured.ending == Ending::interrupted ? "interrupted" : measured.sample.failure;
  }

  static inline std::optional<StopSignals> signals_;

 private:
  static constexpr std::array kWorkers{1, 2, 3, 8};

 public:
  static std::string label(testing::TestParamInfo<ParamType> const& info) {
    return std::string(std::get<0>(info.param)->name) + "_with_" + std::to_string(std::get<1>(info.param)) +
           "_workers" + (std::get<2>(info.param) == Io::io_uring ? "_over_io_uring" : "");
  }
  /// Every model that runs the stream (Model::cpu, lookup or ingest) and can wait so, with each number of
  /// workers; sequential has one, whatever it is told.
  template <class Run>
  static std::vector<ParamType> table(Run Model::*stream, Io io = Io::epoll) {
    std::vector<ParamType> all;
    for (Model const& model : all_models()) {
      if (model.*stream == nullptr || (io == Io::io_uring && !model.reactor)) continue;
      for (int const workers : kWorkers)
        if (workers == 1 || !model.sequential) all.emplace_back(&model, workers, io);
    }
    return all;
  }
};

}  // namespace tally
