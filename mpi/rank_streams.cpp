#include "mpi/rank_streams.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "bench/base/sha256.hpp"
#include "bench/base/usage_error.hpp"
#include "mpi/agreement.hpp"
#include "workloads/input/file_stream.hpp"
#include "workloads/input/input_file.hpp"
#include "workloads/lookup/lookup_stream.hpp"
#include "workloads/text/text_stream.hpp"

namespace tally {
namespace {

constexpr char kWhatReading[] = "reading the file";

Grain grain_of(Cell const& cell, double links_per_ns) {
  return cell.grain.count() > 0 ? make_grain(cell.grain, links_per_ns) : Grain{};
}

/// Reads bytes [begin, begin + bytes) of the file, or throws InputFailed.
void read_at(ByteSource const& file, std::uint64_t begin, char* into, std::size_t bytes) {
  for (std::size_t filled = 0; filled < bytes;) {
    ssize_t const n =
        ::pread(file.descriptor(), into + filled, bytes - filled, static_cast<off_t>(begin + filled));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) file.fail(std::generic_category().message(errno));
    if (n == 0) file.fail("it has become shorter while it was read");
    filled += static_cast<std::size_t>(n);
  }
}

std::string sha256_at(ByteSource const& file, Range range) {
  Sha256 hash;
  std::vector<char> piece(std::size_t{1} << 20);
  for (std::uint64_t at = range.begin; at < range.end;) {
    std::size_t const n = std::min<std::uint64_t>(piece.size(), range.end - at);
    read_at(file, at, piece.data(), n);
    hash.add({piece.data(), n});
    at += n;
  }
  return hash.hex();
}

/// Begun with as much of the file's beginning as that takes.
Records records_of(ByteSource const& file, TextSpec const& spec, Grain grain, std::uint64_t size) {
  Records records(spec, grain);
  std::string head;
  for (std::uint64_t bytes = std::uint64_t{64} << 10;; bytes *= 2) {
    head.resize(std::min(bytes, size));
    read_at(file, 0, head.data(), head.size());
    if (records.begin(head, head.size() == size)) return records;
  }
}

/// The parts of all ranks, which follow each other.
std::vector<Range> parts_of(FileStream const& file, int ranks, std::uint64_t one_in) {
  auto parts = file.split(static_cast<std::size_t>(ranks) * one_in);
  parts.resize(static_cast<std::size_t>(ranks));
  return parts;
}

}  // namespace

std::uint64_t share_begin(std::uint64_t all, int rank, int ranks) noexcept {
  return share(all, static_cast<std::uint64_t>(rank), static_cast<std::uint64_t>(ranks));
}

Counts RankPart::reference() const {
  if (lookup) return lookup->reference();
  Counts counts = cpu->empty_tally();
  cpu->count({0, cpu->size()}, counts);
  return counts;
}

TextSpec RankStreams::text_spec() const {
  TextSpec spec = options_.text;
  if (spec.window.count() == 0)
    spec.window = std::chrono::duration_cast<std::chrono::seconds>(options_.window);
  return spec;
}

void RankStreams::read_part(RankPart& part, Cell const& cell, double links_per_ns, Communicator const& ranks,
                            Patience const& patience, std::uint64_t one_in) const {
  TextSpec const spec = text_spec();
  std::unique_ptr<ByteSource> file;
  std::unique_ptr<FileStream> stream;
  all_or_none(ranks, hosts_, patience, [&] {
    file = std::make_unique<ByteSource>(*options_.input);
    if (!file->plain_file())
      throw UsageError("'" + file->name() +
                       "' is no plain file, of which each rank could read its own part: decompress it first, "
                       "or use tally run");
    stream = std::make_unique<FileStream>(*file, spec);
  });
  // One rank cuts, so that all have the same parts; where csv's records end, only who read on from the
  // beginning can tell.
  std::vector<Range> parts(static_cast<std::size_t>(ranks.size()));
  all_or_none(ranks, hosts_, patience, [&] {
    if (ranks.rank() == 0) parts = parts_of(*stream, ranks.size(), one_in);
  });
  ranks.broadcast(parts.data(), parts.size() * sizeof(Range), 0, patience, kWhatReading);
  std::uint64_t size = stream->size();
  ranks.broadcast(size, 0, patience, kWhatReading);

  Range range = parts[static_cast<std::size_t>(ranks.rank())];
  std::string hash;
  all_or_none(ranks, hosts_, patience, [&] {
    if (stream->size() != size)
      throw InputFailed("'" + file->name() + "' has " + std::to_string(stream->size()) + " bytes here, and " +
                        std::to_string(size) + " at rank 0: give every host the same file");
    Records const records = records_of(*file, spec, grain_of(cell, links_per_ns), size);
    range.begin = std::max<std::uint64_t>(range.begin, std::min<std::uint64_t>(records.first(), range.end));
    std::size_t const bytes = range.end - range.begin;
    part.text = SharedPages(std::max<std::size_t>(bytes, 1));
    read_at(*file, range.begin, static_cast<char*>(part.text.data()), bytes);
    std::string_view const text(static_cast<char const*>(part.text.data()), bytes);
    if (cell.hosts > 1) hash = sha256(text);
    part.cpu = make_block_stream(text, range.begin, count_newlines(text), records, spec.repeat);
    part.input_bytes = size;
  });
  if (cell.hosts <= 1) return;
  auto const hashes = ranks.gather_texts(hash, 0, patience, kWhatReading);
  all_or_none(ranks, hosts_, patience, [&] {
    for (std::size_t r = 1; r < hashes.size(); ++r) {
      if (hosts_[r] == hosts_[0] || sha256_at(*file, parts[r]) == hashes[r]) continue;
      throw InputFailed("'" + file->name() + "' is another file on " +
                        describe_rank(static_cast<int>(r), hosts_[r]) + ": bytes " +
                        std::to_string(parts[r].begin) + " to " + std::to_string(parts[r].end) +
                        " differ from those here; give every host the same file");
    }
  });
}

RankPart RankStreams::make(Cell const& cell, std::uint64_t events, double links_per_ns,
                           Communicator const& ranks, Patience const& patience, std::uint64_t one_in) const {
  RankPart part;
  part.grain = grain_of(cell, links_per_ns);
  if (cell.stream == StreamKind::cpu && options_.input) {
    read_part(part, cell, links_per_ns, ranks, patience, one_in);
    return part;
  }
  std::uint64_t const all = events / one_in;
  std::uint64_t const begin = share_begin(all, ranks.rank(), ranks.size());
  std::uint64_t const mine = share_begin(all, ranks.rank() + 1, ranks.size()) - begin;
  all_or_none(ranks, hosts_, patience, [&] {
    if (cell.stream == StreamKind::lookup) {
      part.lookup = make_lookup_stream(options_.keys, mine, part.grain, options_.window, service_, begin);
    } else {
      part.events = std::make_unique<SyntheticEvents>(options_.keys, mine, begin);
      part.cpu = make_synthetic_stream(*part.events, mine, part.grain, options_.window);
    }
  });
  return part;
}

Counts RankStreams::sequential(Cell const& cell, std::uint64_t events, double links_per_ns, int ranks,
                               std::uint64_t one_in) const {
  Grain const grain = grain_of(cell, links_per_ns);
  if (cell.stream == StreamKind::cpu && options_.input) {
    ByteSource const file(*options_.input);
    FileStream const stream(file, text_spec());
    Counts counts = stream.empty_tally();
    stream.count({0, parts_of(stream, ranks, one_in).back().end}, counts);
    return counts;
  }
  std::uint64_t const all = events / one_in;
  if (cell.stream == StreamKind::lookup)
    return make_lookup_stream(options_.keys, all, grain, options_.window, service_)->reference();
  constexpr std::uint64_t kAtOnce = std::uint64_t{4} << 20;
  Counts counts = Counts::dense(options_.keys.keys);
  for (std::uint64_t begin = 0; begin < all; begin += kAtOnce) {
    SyntheticEvents const piece(options_.keys, std::min(kAtOnce, all - begin), begin);
    auto const stream = make_synthetic_stream(piece, piece.size(), grain, options_.window);
    stream->count({0, stream->size()}, counts);
  }
  return counts;
}

}  // namespace tally
