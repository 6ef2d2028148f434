// Texts that are not in memory as a whole: cut anywhere, they count as they do whole.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/memory_file.hpp"
#include "workloads/base/random.hpp"
#include "workloads/input/block_reader.hpp"
#include "workloads/input/file_stream.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {
namespace {

using namespace std::chrono_literals;

struct FormattedText {
  TextSpec spec;
  std::string text;
};

/// Short texts of every format, with what makes cutting hard: line breaks in quotes, doubled quotes, CRLF,
/// characters of several bytes, malformed records of every kind, a header, a mark, a last line without end.
std::vector<FormattedText> nasty() {
  return {{{.format = TextFormat::lines, .key = "2", .time = "1", .window = 60s},
           "2024-05-01T00:00 a\r\n\n2024-05-01T00:01 b\nx y\n2024-05-01T00:00 \xc3\xa9\xff"},
          {{.format = TextFormat::clf, .key = "target", .window = 60s},
           "h - - [01/May/2024:00:00:00 +0000] \"GET /a HTTP/1.1\" 200 1\r\nbroken\nh - - "
           "[01/May/2024:00:01:00 +0000] \"-\" 200 -"},
          {{.format = TextFormat::csv, .key = "k", .time = "t", .time_format = "epoch-s", .window = 60s},
           "\xef\xbb\xbf\"t\",k,\"a\nb\"\r\n1,x,y\r\n61,\"x\n\"\"y\"\"\r\n\",z\n2,\xc3\xa9,\n\n3,st\"ray,\n4,"
           "few\n5,ma,n,y\n\"6\",x,\"\xff\"\n"
           "x,x,x\n\"7\"x,x,x\n8,\"not\nclosed,x\n9,x,y"},
          {{.format = TextFormat::csv, .key = "2", .header = false}, "\"1\",\"a\n\"\n2,\"a\n\"\n3,b\n"},
          {{.format = TextFormat::csv, .key = "k"}, "k"},
          {{.format = TextFormat::ndjson, .key = "k", .time = "t", .time_format = "epoch-s", .window = 60s},
           "{\"k\": \"\\u00e9\", \"t\": 1}\r\n{\"k\": \"\xc3\xa9\", \"t\": 61}\n\n{\"k\": 1, \"t\": "
           "1}\n{\"k\": \"\xff\"}\n{\n{\"k\": \"a\", \"t\": 2}"},
          {{.format = TextFormat::regex, .key_regex = "k=(\\S*)"},
           "k=a b\nno\r\nx k=\xc3\xa9\r\nk=\n\xffk=a\nk=last"},
          {{}, ""},
          {{.format = TextFormat::csv, .key = "k"}, ""}};
}

/// Everything that counts say, with the lines of what is malformed, but for how they were cut.
std::string said(Counts const& counts, auto const& line_of) {
  std::string all =
      std::to_string(counts.events) + " events, " + std::to_string(counts.malformed) + " malformed\n";
  for (auto const& window : counts.windows()) {
    all += std::to_string(window.window) + ":";
    for (auto const& [key, count] : counts.window_totals(window.window))
      all += " " + key + "=" + std::to_string(count);
    all += "\n";
  }
  for (auto const& line : counts.first_malformed())
    all += std::to_string(line_of(line.position)) + ": " + std::string(line.reason) + "\n";
  return all;
}

std::string said_whole(FormattedText const& each) {
  auto const stream = make_text_stream(each.text, each.spec, {});
  Counts counts = stream->empty_tally();
  stream->count({0, stream->size()}, counts);
  return said(counts, [&](std::uint64_t position) { return line_number(each.text, position); });
}

TEST(Streaming, BlocksOfAnySizeCountAsTheWholeTextDoes) {
  for (FormattedText const& each : nasty()) {
    std::string const expected = said_whole(each);
    for (std::size_t block_bytes = 1; block_bytes <= each.text.size() + 2; ++block_bytes) {
      for (bool const ahead : {false, true}) {
        MemoryFile const file(each.text);
        ByteSource source(file.path());
        Records records(each.spec, {});
        BlockReader reader(source, records, ahead, block_bytes);
        Counts total = Counts::text();
        std::vector<std::uint64_t> lines;
        for (Block block; reader.next(block);) {
          auto const stream = make_block_stream(block.records, block.position, block.lines, records);
          Counts counts = stream->empty_tally();
          stream->count({0, stream->size()}, counts);
          for (auto const& bad : counts.first_malformed())
            lines.push_back(block.first_line +
                            count_newlines(block.records.substr(0, bad.position - block.position)));
          total.merge_copying(std::move(counts));
        }
        std::size_t next = 0;
        EXPECT_EQ(said(total, [&](std::uint64_t) { return lines.at(next++); }), expected)
            << name_of(each.spec.format) << ", blocks of " << block_bytes << " bytes";
      }
    }
  }
}

TEST(Streaming, BatchesOfAnySizeCountAsTheWholeTextDoes) {
  for (FormattedText& each : nasty()) {
    std::string const expected = said_whole(each);
    for (std::uint64_t const repeat : {1, 3}) {
      each.spec.repeat = repeat;
      auto const stream = make_text_stream(each.text, each.spec, {});
      Counts whole = stream->empty_tally();
      stream->count({0, stream->size()}, whole);
      for (std::uint64_t batch = 1; batch < 8; ++batch) {
        Counts counts = stream->empty_tally();
        BatchReader reader(*stream, batch, 1);
        for (Range range; !(range = reader.next()).empty();) stream->count(range, counts);
        EXPECT_EQ(whole.difference(counts), "") << name_of(each.spec.format) << ", batches of " << batch;
      }
      for (std::size_t parts = 1; parts < 20; ++parts) {
        Counts counts = stream->empty_tally();
        for (Range const part : stream->split(parts)) stream->count(part, counts);
        EXPECT_EQ(whole.difference(counts), "") << name_of(each.spec.format) << ", " << parts << " parts";
      }
    }
  }
}

#ifndef TALLY_THREAD_SANITIZER  // The test has one thread.
TEST(Streaming, AFileReadInPiecesCountsAsTheWholeTextDoes) {
  for (FormattedText& each : nasty()) {
    if (!each.text.empty()) each.text += '\n';
    std::string const once = each.text;
    // Longer than what is read at once, so that pieces end anywhere.
    while (!once.empty() && each.text.size() < 700'000) each.text += once;
    MemoryFile const file(each.text);
    ByteSource const source(file.path());
    std::uint64_t told = 0;
    FileStream const stream(source, each.spec, [&](std::uint64_t bytes) { told += bytes; });
    std::string const expected = said_whole(each);
    auto const line_of = [&](std::uint64_t position) { return stream.line_number(position); };
    Counts whole = stream.empty_tally();
    stream.count({0, stream.size()}, whole);
    EXPECT_EQ(said(whole, line_of), expected) << name_of(each.spec.format);
    EXPECT_EQ(told, each.text.size());
    Counts batches = stream.empty_tally();
    BatchReader reader(stream, 100, 1);
    for (Range range; !(range = reader.next()).empty();) stream.count(range, batches);
    EXPECT_EQ(whole.difference(batches), "") << name_of(each.spec.format);
    for (std::size_t const parts : {1, 2, 7, 100}) {
      Counts counts = stream.empty_tally();
      for (Range const part : stream.split(parts)) stream.count(part, counts);
      EXPECT_EQ(whole.difference(counts), "") << name_of(each.spec.format) << ", " << parts << " parts";
    }
  }
}
#endif

TEST(Streaming, ALineLongerThanAnyBufferIsOneEvent) {
  std::string const text = "a\n" + std::string(3'000'000, 'x') + "\nb\n";
  MemoryFile const file(text);
  ByteSource const source(file.path());
  FileStream const stream(source, {});
  Counts counts = stream.empty_tally();
  stream.count({0, stream.size()}, counts);
  EXPECT_EQ(counts.events, 3u);
  EXPECT_EQ(stream.split(3)[1].end, text.size() - 2) << "no line is cut";
}

TEST(Streaming, AFileThatBecomesShorterIsAnError) {
  int const file = memfd_create("events", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(file, 1'000'000), 0);
  ByteSource const source("/proc/self/fd/" + std::to_string(file));
  FileStream const stream(source, {});
  ASSERT_EQ(ftruncate(file, 10), 0);
  Counts counts = stream.empty_tally();
  EXPECT_THROW(stream.count({0, stream.size()}, counts), InputFailed);
  EXPECT_EQ(stream.batch_end(0, 1), stream.size()) << "whoever counts it says why";
  close(file);
}

TEST(Streaming, CountsMergedByCopyingKeepTheirKeys) {
  Counts total = Counts::text();
  for (int i = 0; i < 100; ++i) {
    std::string const text =
        "key" + std::to_string(i % 7) + "\nonly" + std::to_string(i) + std::string(20'000, 'x') + "\n";
    auto const stream = make_block_stream(text, 0, 2, Records({}, {}));
    Counts counts = stream->empty_tally();
    stream->count({0, stream->size()}, counts);
    total.merge_copying(std::move(counts));
  }
  EXPECT_EQ(total.events, 200u);
  EXPECT_EQ(total.totals(1).front().key, "key0");
  EXPECT_EQ(total.windows().front().distinct_keys, 107u);
}

TEST(Streaming, AHeaderWithoutTheColumnIsRefused) {
  Records records({.format = TextFormat::csv, .key = "who"}, {});
  EXPECT_FALSE(records.begin("when,\"wh", false));
  EXPECT_THROW(records.begin("when,what\n", true), std::invalid_argument);
  EXPECT_THROW(records.begin("who,who\n", true), std::invalid_argument);
  EXPECT_TRUE(records.begin("what,who\n1,2\n", true));
  EXPECT_EQ(records.first(), 9u);
}

}  // namespace
}  // namespace tally
