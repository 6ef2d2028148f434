#include "workloads/stream.hpp"

namespace tally {

std::uint64_t batches_in(CpuStream const& stream, std::uint64_t batch) noexcept {
  std::uint64_t batches = 0;
  for (BatchReader reader(stream, batch, 1); !reader.at_end(); ++batches) reader.next();
  return batches;
}

std::vector<Range> split_at_batches(CpuStream const& stream, std::uint64_t batch, std::size_t parts) {
  if (batch == kAutoBatch) return stream.split(parts);
  std::uint64_t const size = stream.size();
  std::vector<Range> ranges(parts, Range{size, size});
  BatchReader reader(stream, batch, 1);
  std::uint64_t begin = 0;
  for (std::size_t p = 0; p < parts && begin < size; ++p) {
    std::uint64_t const wanted = begin + (size - begin) / (parts - p);
    Range part{begin, begin};
    while (part.end < wanted || part.empty()) part.end = reader.next().end;
    ranges[p] = part;
    begin = part.end;
  }
  return ranges;
}

}  // namespace tally
