// The `cpu` stream, of synthetic events, text and files, with every model.
#include "tests/models/crossing.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bench/sampling/measure.hpp"
#include "models/process_shard/message_ring.hpp"
#include "tests/bench/memory_file.hpp"
#include "workloads/input/file_stream.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

INSTANTIATE_TEST_SUITE_P(EveryModel, Crossing, testing::ValuesIn(Crossing::table(&Model::cpu)),
                         Crossing::label);

/// A stream and the counts that it comes to.
struct Counted {
  explicit Counted(std::unique_ptr<CpuStream> of) : stream(std::move(of)), counts(stream->empty_tally()) {
    stream->count({0, stream->size()}, counts);
  }
  std::unique_ptr<CpuStream> stream;
  Counts counts;
};

Counted const& synthetic(KeySpec const& keys, std::uint64_t events, Grain grain,
                         std::chrono::nanoseconds window) {
  return kept(std::tuple(key_of(keys), events, grain.iterations, window),
              [&] { return Counted(make_synthetic_stream(events_of(keys, events), events, grain, window)); });
}

TEST_P(Crossing, CountsCpuStreamsAsSequentialDoes) {
  std::size_t turn = 0;
  for (Case const& c : cases(workers())) {
    std::size_t next = turn++;
    for (std::uint64_t const batch :
         {std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{4096}, std::uint64_t{1'000'000}, kAutoBatch}) {
      auto const [in_windows, with_work] = choices(next++);
      std::uint64_t const iterations = with_work ? 3 : 0;
      Counted const& counted =
          synthetic(c.keys, c.events, {1ns, iterations}, in_windows ? std::chrono::nanoseconds(1ms) : 0ns);
      EXPECT_EQ(run(*counted.stream, setup(1, batch), counted.counts), "")
          << c.what << ", batch " << batch << (in_windows ? ", in windows" : "") << ", grain " << iterations;
    }
  }
}

TEST_P(Crossing, CountsMoreBatchesThanAnyQueueHolds) {
  Counted const& counted = synthetic({}, tasks(300'007), {}, 0ns);
  EXPECT_EQ(run(*counted.stream, setup(), counted.counts), "");
}

TEST_P(Crossing, CountsLinesOfTextAsSequentialDoes) {
  static std::string const text = [] {
    std::string lines;
    for (int i = 0; i < 2'000; ++i)
      lines += "2024-05-0" + std::to_string(1 + i / 300) + " key" + std::to_string(i * i % 97) + "\r\n";
    return lines + "nothing-in-the-second-field\n2024-05-09 last-without-newline";
  }();
  static Counted const counted(make_text_stream(
      text, {.format = TextFormat::lines, .key = "2", .time = "1", .window = 24h, .repeat = 3}, {}));
  for (std::uint64_t const batch : {std::uint64_t{1}, std::uint64_t{64}, kAutoBatch})
    EXPECT_EQ(run(*counted.stream, setup(1, batch), counted.counts), "") << "batch " << batch;
}

/// A text of a format, with records of every kind, malformed ones among them.
struct Formatted {
  TextSpec spec;
  std::string text;
};

std::vector<Formatted> texts_of_every_format() {
  std::vector<Formatted> texts{
      {{.format = TextFormat::lines, .key = "2", .time = "1"}, ""},
      {{.format = TextFormat::clf, .key = "target"}, ""},
      {{.format = TextFormat::csv, .key = "who", .time = "when", .time_format = "epoch-s"},
       "\xef\xbb\xbfwho,\"the\nnote\",when\r\n"},
      {{.format = TextFormat::ndjson, .key = "a.who", .time = "when", .time_format = "epoch-ms"}, ""},
      {{.format = TextFormat::regex,
        .key_regex = "who=(\\S+) .*?(?P<t>\\d+)$",
        .time = "t",
        .time_format = "epoch-s"},
       ""}};
  for (int i = 0; i < 1'500; ++i) {
    std::string const who = "key" + std::to_string(i * i % 97);
    std::string const s = std::to_string(1'700'000'000 + i * 400);
    std::string const day = "0" + std::to_string(1 + i / 300);
    texts[0].text += "2024-05-" + day + " " + who + "\r\n";
    texts[1].text += "h - - [" + day + "/May/2024:00:00:00 +0000] \"GET /" + who + " HTTP/1.1\" 200 1\n";
    texts[2].text +=
        i % 5 == 0 ? "\"" + who + " \"\"q\"\"\",\"a,\n\"\"\n,b\"," + s + "\n" : who + ",note," + s + "\r\n";
    texts[3].text +=
        R"({"when": )" + s + R"(000, "a": {"who": ")" + who + (i % 3 == 0 ? R"(\u00e9"}})" : R"("}})") + "\n";
    texts[4].text += "at who=" + who + " was " + s + "\n";
    if (i % 100 != 7) continue;
    texts[2].text += "one \"stray,quote,1\nfew,fields\n\xff,note,1\n";
    texts[3].text += "{\"a\": {\"who\": 3}, \"when\": 1}\n{broken\n\n";
    texts[4].text += "nothing of it\n";
  }
  texts[2].text += "last,without a line end,1700000000";
  texts[3].text += R"({"a": {"who": "last"}, "when": 1700000000000})";
  return texts;
}

TEST_P(Crossing, CountsEveryFormatAsSequentialDoes) {
  if (reads_lines_as_others_do()) GTEST_SKIP() << "ThreadSanitizer watches thread_pool alone read lines";
  static std::vector<Formatted> const texts = texts_of_every_format();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    bool const small_batches_in_windows = choices(i).one;
    for (bool const in_windows : {false, true}) {
      Counted const& counted = kept(std::pair(i, in_windows), [&] {
        TextSpec spec = texts[i].spec;
        spec.window = in_windows ? 86'400s : 0s;
        spec.repeat = 2;
        return Counted(make_text_stream(texts[i].text, spec, {}));
      });
      std::uint64_t const batch = in_windows == small_batches_in_windows ? 1 : 64;
      EXPECT_EQ(run(*counted.stream, setup(1, batch), counted.counts), "")
          << name_of(texts[i].spec.format) << ", batch " << batch << (in_windows ? ", in windows" : "");
    }
  }
}

/// A text in a file, and what it comes to in memory.
struct Filed {
  Filed(Formatted const& formatted, std::size_t least_bytes) : spec(formatted.spec) {
    while (text.size() < least_bytes) text += formatted.text;
    spec.window = 86'400s;
    file = std::make_unique<MemoryFile>(text);
    source = std::make_unique<ByteSource>(file->path());
    in_memory = std::make_unique<Counted>(make_text_stream(text, spec, {}));
  }
  std::string text{};
  TextSpec spec;
  std::unique_ptr<MemoryFile> file{};
  std::unique_ptr<ByteSource> source{};
  std::unique_ptr<Counted> in_memory{};
};

TEST_P(Crossing, CountsAFileThatIsNotInMemoryAsSequentialDoesOneThatIs) {
  if (reads_lines_as_others_do()) GTEST_SKIP() << "ThreadSanitizer watches thread_pool alone read lines";
  // More pieces than workers read at once, and where records may span lines, some: how a file is cut depends
  // on its format no further.
  static std::vector<std::unique_ptr<Filed>> const files = [] {
    std::vector<std::unique_ptr<Filed>> all;
    for (Formatted const& each : texts_of_every_format()) {
      TextFormat const format = each.spec.format;
      std::size_t const least_bytes = format == TextFormat::lines ? 3'000'000
                                      : format == TextFormat::csv ? 1'200'000
                                                                  : 600'000;
      all.push_back(std::make_unique<Filed>(each, least_bytes));
    }
    return all;
  }();
  for (auto const& each : files) {
    FileStream const stream(*each->source, each->spec);
    EXPECT_EQ(run(stream, setup(), each->in_memory->counts), "") << name_of(each->spec.format);
  }
}

/// Something that the processes of a sample share: models may fork.
template <class T>
class Shared {
 public:
  Shared()
      : memory_(mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        value_(memory_ == MAP_FAILED ? throw std::bad_alloc() : new (memory_) T) {}
  ~Shared() { munmap(memory_, sizeof(T)); }
  Shared(Shared const&) = delete;
  Shared& operator=(Shared const&) = delete;
  T* operator->() const noexcept { return value_; }

 private:
  void* memory_;
  T* value_;
};

/// Passes all on, but for what a test overrides.
class Passing : public CpuStream {
 public:
  explicit Passing(CpuStream const& inner) : inner_(inner) {}
  std::uint64_t size() const noexcept override { return inner_.size(); }
  Counts empty_tally() const override { return inner_.empty_tally(); }
  void count(Range range, Counts& tally) const override { inner_.count(range, tally); }
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override {
    return inner_.batch_end(begin, events);
  }
  std::vector<Range> split(std::size_t parts) const override { return inner_.split(parts); }

 private:
  CpuStream const& inner_;
};

/// A stream whose counting throws at one event.
class Throwing final : public Passing {
 public:
  Throwing(CpuStream const& inner, std::uint64_t at) : Passing(inner), at_(at) {}
  void count(Range range, Counts& tally) const override {
    if (range.begin <= at_ && at_ < range.end) throw std::runtime_error("event 4321 cannot be counted");
    Passing::count(range, tally);
  }

 private:
  std::uint64_t at_;
};

TEST_P(Crossing, PassesOnWhatCountingThrows) {
  Counted const& counted = synthetic({}, 50'000, {}, 0ns);
  EXPECT_NE(
      run(Throwing(*counted.stream, 4321), setup(), counted.counts).find("event 4321 cannot be counted"),
      std::string::npos);
}

/// A stream whose first batch is not done until the reader has stopped reading.
class Stalling final : public Passing {
 public:
  using Passing::Passing;
  void count(Range range, Counts& tally) const override {
    // All workers stall at their first batch until nothing has been read for a while: the reader must wait
    // for them.
    while (!state_->released.load()) {
      std::uint64_t const seen = state_->read.load();
      std::this_thread::sleep_for(20ms);
      if (state_->released.load() || state_->read.load() != seen) continue;
      state_->most_ahead.store(seen);
      state_->released.store(true);
    }
    Passing::count(range, tally);
  }
  std::uint64_t batch_end(std::uint64_t begin, std::uint64_t events) const noexcept override {
    state_->read.fetch_add(1);
    return Passing::batch_end(begin, events);
  }
  std::uint64_t most_ahead() const { return state_->most_ahead.load(); }

 private:
  struct State {
    std::atomic<bool> released{false};
    std::atomic<std::uint64_t> read{0}, most_ahead{0};
  };
  Shared<State> state_;
};

/// Runs the model on a stream in a `Wrapper`, in a process of its own, and then `check(wrapper)`, which
/// throws where what it finds there is wrong. The empty text if all is well.
template <class Wrapper, void (*check)(Wrapper const&)>
std::string run_wrapped(Model const& model, CpuStream const& stream, Setup const& setup,
                        Counts const& expected, StopSignals const& stop) {
  Model wrapped = model;
  static CpuRun run_it;
  run_it = model.cpu;
  wrapped.cpu = [](CpuStream const& inner, Setup const& how, Stopwatch& watch) {
    Wrapper const wrapper(inner);
    Counts counts = run_it(wrapper, how, watch);
    check(wrapper);
    return counts;
  };
  return measure(wrapped, stream, setup, expected, {.timeout = 60s, .stop = stop}).sample.failure;
}

// A bounded queue holds at most this many batches, whatever the model; the stream has many times more.
constexpr std::uint64_t kFar = 20'000;
void check_not_far_ahead(Stalling const& stalling) {
  if (stalling.most_ahead() > kFar)
    throw std::runtime_error(std::to_string(stalling.most_ahead()) + " batches read ahead");
}

TEST_P(Crossing, AReaderFarAheadOfItsWorkersWaits) {
  if (!model().candidate) GTEST_SKIP() << "it splits ahead";
  Counted const& counted = synthetic({}, tasks(400'000), {}, 0ns);
  EXPECT_EQ((run_wrapped<Stalling, check_not_far_ahead>(model(), *counted.stream, setup(), counted.counts,
                                                        *signals_)),
            "");
}

/// A stream that counts its second event only when all others are counted, or when a second has passed
/// without another being counted.
class HoldingOne final : public Passing {
 public:
  using Passing::Passing;
  static constexpr std::uint64_t kHeld = 1;
  void count(Range range, Counts& tally) const override {
    if (range.begin <= kHeld && kHeld < range.end) {
      std::uint64_t const others = size() - (range.end - range.begin);
      std::uint64_t seen = 0;
      auto until = std::chrono::steady_clock::now() + 1s;
      while (seen < others && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(1ms);
        // Slow progress is progress: the other tasks do not wait for this one.
        if (auto const now = counted_->load(); now != seen) {
          seen = now;
          until = std::chrono::steady_clock::now() + 1s;
        }
      }
      left_->store(others - counted_->load());
    }
    Passing::count(range, tally);
    counted_->fetch_add(range.end - range.begin);
  }
  std::uint64_t left() const { return left_->load(); }

 private:
  Shared<std::atomic<std::uint64_t>> counted_, left_;
};

/// Model::tasks_behind_one of the model under test. Global, since the check is a plain function.
std::uint64_t most_left = 0;

void check_left(HoldingOne const& holding) {
  if (holding.left() > most_left)
    throw std::runtime_error(std::to_string(holding.left()) + " tasks waited for the one that stalled");
}

TEST_P(Crossing, ATaskThatStallsHoldsUpNoOther) {
  if (!model().candidate || workers() == 1) GTEST_SKIP() << "there is no other worker";
  Counted const& counted = synthetic({}, tasks(50'021), {}, 0ns);
  most_left = model().tasks_behind_one;
  EXPECT_EQ(
      (run_wrapped<HoldingOne, check_left>(model(), *counted.stream, setup(), counted.counts, *signals_)),
      "");
}

TEST(ProcessShard, DeclaresHowManyMessagesAWorkersRingHolds) {
  auto const all = all_models();
  auto const row =
      std::find_if(all.begin(), all.end(), [](Model const& m) { return m.name == "process_shard"; });
  EXPECT_EQ(row->tasks_behind_one, MessageRing::kBytes / 24);
}

}  // namespace
}  // namespace tally
