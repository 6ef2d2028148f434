// A text of any format: in batches, in parts and in blocks of any size it counts as it does whole.
#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/fuzz/fuzz.hpp"
#include "workloads/input/block_reader.hpp"
#include "workloads/text/text_stream.hpp"

namespace {

using namespace tally;
using namespace std::chrono_literals;

TextSpec const kSpecs[] = {
    {.format = TextFormat::lines, .key = "2", .time = "1", .window = 60s},
    {.format = TextFormat::clf, .key = "target", .window = 60s},
    {.format = TextFormat::csv, .key = "2", .time = "1", .time_format = "epoch-s", .window = 60s},
    {.format = TextFormat::csv, .key = "1", .header = false},
    {.format = TextFormat::ndjson, .key = "a", .time = "t", .time_format = "epoch-ms", .window = 60s},
    {.format = TextFormat::regex, .key_regex = "a(.)"},
};

void require_same(Counts const& whole, Counts& parts) {
  parts.coverage = whole.coverage;  // of other ranges
  fuzz::require(whole.difference(parts).empty(), "the same counts");
  auto const &one = whole.first_malformed(), &other = parts.first_malformed();
  fuzz::require(one.size() == other.size(), "as many malformed records");
  for (std::size_t i = 0; i < one.size(); ++i)
    fuzz::require(one[i].position == other[i].position && one[i].reason == other[i].reason,
                  "the same malformed records");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  fuzz::Input input(data, size);
  TextSpec const& spec = kSpecs[input.below(std::size(kSpecs))];
  std::size_t const n = 1 + input.below(64);
  std::string_view const text = input.rest();
  std::unique_ptr<CpuStream> stream;
  try {
    stream = make_text_stream(text, spec, {});
  } catch (std::invalid_argument const&) {
    return 0;
  }
  Counts whole = stream->empty_tally(), batches = stream->empty_tally(), parts = stream->empty_tally();
  stream->count({0, stream->size()}, whole);
  BatchReader reader(*stream, n, 1);
  for (Range range; !(range = reader.next()).empty();) stream->count(range, batches);
  require_same(whole, batches);
  for (Range const part : stream->split(n)) stream->count(part, parts);
  require_same(whole, parts);

  int const file = memfd_create("text", MFD_CLOEXEC);
  if (write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
  try {
    ByteSource source("/proc/self/fd/" + std::to_string(file));
    Records records(spec, {});
    BlockReader blocks(source, records, false, n);
    Counts total = Counts::text();
    for (Block block; blocks.next(block);) {
      auto const one = make_block_stream(block.records, block.position, block.lines, records);
      Counts counts = one->empty_tally();
      one->count({0, one->size()}, counts);
      total.merge_copying(std::move(counts));
    }
    if (source.compression() == Compression::none) require_same(whole, total);
  } catch (InputFailed const&) {  // it begins as what is compressed does
  } catch (std::invalid_argument const&) {
  }
  close(file);
  return 0;
}
