#include "mpi/merge.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "workloads/random.hpp"

namespace tally {
namespace {

constexpr int kRoot = 0;
constexpr char kWhat[] = "merging";

/// Of dense rows that are summed at once, as messages of a few kilobytes would take a round trip each.
constexpr std::size_t kRowsBytes = std::size_t{4} << 20;

/// A number in seven bits a byte, the least first, as long as it needs (LEB128): counts are small, and so are
/// keys. Written to `to`; returns what is behind it.
char* put_number(char* to, std::uint64_t n) noexcept {
  for (; n >= 0x80; n >>= 7) *to++ = static_cast<char>(n | 0x80);
  *to++ = static_cast<char>(n);
  return to;
}
/// How many bytes that takes.
std::size_t number_bytes(std::uint64_t n) noexcept {
  return (static_cast<std::size_t>(std::bit_width(n | 1)) + 6) / 7;
}

class Received {
 public:
  explicit Received(std::string_view bytes) : rest_(bytes) {}
  bool ended() const noexcept { return rest_.empty(); }
  std::uint64_t number() {
    std::uint64_t n = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      auto const byte = static_cast<unsigned char>(text(1)[0]);
      n |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return n;
    }
    throw std::runtime_error("counts of another rank have a number that is too long");
  }
  std::string_view text(std::uint64_t size) {
    if (size > rest_.size()) throw std::runtime_error("counts of another rank are cut off");
    std::string_view const text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return text;
  }

 private:
  std::string_view rest_;
};

std::uint64_t zigzag(std::int64_t n) noexcept {
  return static_cast<std::uint64_t>(n) << 1 ^ static_cast<std::uint64_t>(n >> 63);
}
std::int64_t zagzig(std::uint64_t n) noexcept {
  return static_cast<std::int64_t>(n >> 1) ^ -static_cast<std::int64_t>(n & 1);
}

/// Figures that are summed.
constexpr std::size_t kFigures = 6;
std::array<std::uint64_t*, kFigures> figures_of(Counts& counts) {
  return {&counts.events, &counts.malformed, &counts.replies,
          &counts.tasks,  &counts.checksum,  &counts.coverage};
}
void set_figures(Counts& counts, std::uint64_t const* sums) {
  for (std::uint64_t* const figure : figures_of(counts)) *figure = sums != nullptr ? *sums++ : 0;
}

/// A text that stays, equal to `text`: reasons are literals in the process that found them.
std::string_view kept_for_good(std::string const& text) {
  static std::set<std::string> texts;
  return *texts.insert(text).first;
}

/// Texts among numbers: as many bytes as the first says, eight in each of the others.
void put_text(std::vector<std::uint64_t>& numbers, std::string_view text) {
  numbers.push_back(text.size());
  std::size_t const begin = numbers.size();
  numbers.resize(begin + (text.size() + 7) / 8);
  text.copy(reinterpret_cast<char*>(numbers.data() + begin), text.size());
}
std::string take_text(std::vector<std::uint64_t>::const_iterator& at) {
  std::string text(*at++, '\0');
  if (!text.empty()) std::memcpy(text.data(), &*at, text.size());
  at += static_cast<std::ptrdiff_t>((text.size() + 7) / 8);
  return text;
}

/// Figures and the first window at once; further windows, where there are any, in as few messages as may be.
std::uint64_t reduce_dense(Counts& counts, Communicator const& ranks, Patience const& patience) {
  bool const root = ranks.rank() == kRoot;
  std::size_t const keys = counts.keys();
  std::array<std::uint64_t, kFigures> sums{};
  auto const figures = figures_of(counts);
  for (std::size_t i = 0; i < kFigures; ++i) sums[i] = *figures[i];
  std::uint64_t const here = counts.dense_windows();
  std::uint64_t const windows =
      ranks.sum_to_and_max(sums, {counts.dense_row(0), keys}, kRoot, here, patience, kWhat);
  set_figures(counts, root ? sums.data() : nullptr);
  std::uint64_t sent = kFigures + keys;

  std::size_t const rows_at_once = std::max<std::size_t>(1, kRowsBytes / (keys * sizeof(std::uint64_t)));
  std::vector<std::uint64_t> rows;
  for (std::uint64_t window = 1; window < windows;) {
    std::size_t const n = std::min<std::uint64_t>(rows_at_once, windows - window);
    if (n == 1) {
      ranks.sum_to({counts.dense_row(window), keys}, kRoot, patience, kWhat);
    } else {
      rows.assign(n * keys, 0);
      for (std::size_t i = 0; i < n; ++i)
        if (auto const* const row = counts.dense_row_if(window + i))
          std::copy_n(row, keys, rows.data() + i * keys);
      ranks.sum_to(rows, kRoot, patience, kWhat);
      for (std::size_t i = 0; i < n && root; ++i)
        std::copy_n(rows.data() + i * keys, keys, counts.dense_row(window + i));
    }
    window += n;
    sent += n * keys;
  }
  if (!root) counts = Counts::dense(counts.keys());
  return root ? 0 : sent * sizeof(std::uint64_t);
}

/// Adds what another rank sent: windows, one after the other, each with its keys. Keys stay where they are.
void add(Counts& counts, std::string_view bytes) {
  struct Key {
    std::string_view text;
    std::uint64_t hash, count;
  };
  // Read some keys ahead of counting them, so that their places come from memory meanwhile.
  constexpr std::size_t kAhead = 32;
  std::array<Key, kAhead> ahead;
  Received in(bytes);
  while (!in.ended()) {
    TextMap& window = counts.text_window(zagzig(in.number()));
    std::uint64_t const keys = in.number();
    auto const count = [&](Key const& key) {
      window.count_of_hashed(key.text, key.hash, [](std::string_view is_new) { return is_new; }) += key.count;
    };
    for (std::uint64_t i = 0; i < keys; ++i) {
      Key& slot = ahead[i % kAhead];
      if (i >= kAhead) count(slot);
      std::uint64_t const size = in.number();
      slot.count = in.number();
      slot.text = in.text(size);
      slot.hash = TextHash{}(slot.text);
      window.prefetch(slot.hash);
      if (i >= kAhead / 2) window.prefetch_key(ahead[(i - kAhead / 2) % kAhead].hash);
    }
    for (std::uint64_t i = keys - std::min<std::uint64_t>(keys, kAhead); i < keys; ++i)
      count(ahead[i % kAhead]);
  }
}

/// What this rank has of other ranks' keys, for each of them; in `counts` stay its own.
std::vector<Bytes> take_others(Counts& counts, int ranks, int me) {
  auto const owner = [ranks](std::uint64_t hash) { return static_cast<std::size_t>(owner_of(hash, ranks)); };
  struct Part {
    std::uint64_t keys = 0;
    std::size_t bytes = 0;
  };
  // By window and rank, so that each rank's bytes are written once, and as many as they are.
  std::vector<std::vector<Part>> windows;
  std::vector<std::size_t> bytes(static_cast<std::size_t>(ranks));
  counts.each_text_window([&](std::int64_t start, TextMap const& map) {
    auto& parts = windows.emplace_back(static_cast<std::size_t>(ranks));
    map.each_size([&](std::size_t size, std::uint64_t hash, std::uint64_t count) {
      Part& part = parts[owner(hash)];
      ++part.keys;
      part.bytes += number_bytes(size) + number_bytes(count) + size;
    });
    parts[static_cast<std::size_t>(me)] = {};
    for (std::size_t r = 0; r < parts.size(); ++r)
      if (parts[r].keys > 0)
        bytes[r] += number_bytes(zigzag(start)) + number_bytes(parts[r].keys) + parts[r].bytes;
  });
  std::vector<Bytes> packed;
  std::vector<char*> to;
  for (std::size_t const n : bytes) to.push_back(packed.emplace_back(n).data.get());
  std::size_t window = 0;
  counts.each_text_window([&](std::int64_t start, TextMap& map) {
    auto const& parts = windows[window++];
    for (std::size_t r = 0; r < parts.size(); ++r)
      if (parts[r].keys > 0) to[r] = put_number(put_number(to[r], zigzag(start)), parts[r].keys);
    map.each_hashed([&](std::uint64_t hash) { return owner_of(hash, ranks) != me; },
                    [&](std::string_view key, std::uint64_t hash, std::uint64_t count) {
                      char*& at = to[owner(hash)];
                      at = put_number(put_number(at, key.size()), count);
                      at = std::copy(key.begin(), key.end(), at);
                    });
    map.retain([&](std::uint64_t hash) { return owner_of(hash, ranks) == me; });
  });
  return packed;
}

std::uint64_t shuffle_text(Counts& counts, Communicator const& ranks, Patience const& patience) {
  if (ranks.size() == 1) return 0;
  std::vector<Bytes> came;
  std::uint64_t sent = 0;
  {
    auto const packed = take_others(counts, ranks.size(), ranks.rank());
    for (Bytes const& part : packed) sent += part.size;
    came = ranks.all_to_all(packed, patience, kWhat);
  }
  for (Bytes& part : came) {
    if (part.size == 0) continue;
    auto const kept = std::make_shared<Bytes const>(std::move(part));
    counts.keep(kept);
    add(counts, {kept->data.get(), kept->size});
  }
  return sent;
}

/// Figures, totals of all windows and the first malformed lines, to the root.
std::vector<Counts::WindowTotal> sum_text(Counts& counts, Communicator const& ranks,
                                          Patience const& patience) {
  std::vector<std::uint64_t> mine;
  for (std::uint64_t const* const figure : figures_of(counts)) mine.push_back(*figure);
  auto const windows = counts.windows();
  mine.push_back(windows.size());
  for (auto const& window : windows)
    mine.insert(mine.end(), {static_cast<std::uint64_t>(window.window), window.events, window.distinct_keys});
  mine.push_back(counts.first_malformed().size());
  for (auto const& line : counts.first_malformed()) {
    mine.push_back(line.position);
    put_text(mine, line.reason);
  }
  auto const all = ranks.gather_numbers(mine, kRoot, patience, kWhat);
  std::array<std::uint64_t, kFigures> sums{};
  std::map<std::int64_t, Counts::WindowTotal> totals;
  int from = 0;
  for (auto at = all.begin(); at != all.end(); ++from) {
    for (std::uint64_t& sum : sums) sum += *at++;
    for (std::uint64_t left = *at++; left > 0; --left, at += 3) {
      auto const start = static_cast<std::int64_t>(at[0]);
      auto& sum = totals.try_emplace(start, Counts::WindowTotal{start, 0, 0}).first->second;
      sum.events += at[1];
      sum.distinct_keys += at[2];
    }
    for (std::uint64_t left = *at++; left > 0; --left) {
      std::uint64_t const position = *at++;
      std::string const reason = take_text(at);
      // Their number is among the figures.
      if (from != kRoot) counts.add_malformed({position, kept_for_good(reason)});
    }
  }
  set_figures(counts, ranks.rank() == kRoot ? sums.data() : nullptr);
  std::vector<Counts::WindowTotal> result;
  for (auto const& [start, total] : totals) result.push_back(total);
  return result;
}

}  // namespace

int owner_of(std::uint64_t hash, int ranks) noexcept {
  __extension__ using Wide = unsigned __int128;
  return static_cast<int>(static_cast<Wide>(mix64(hash)) * static_cast<unsigned>(ranks) >> 64);
}

MergeFigures merge_over_ranks(Counts& counts, Communicator const& ranks, Patience const& patience) {
  MergeFigures figures;
  if (counts.kind() == KeyKind::dense) {
    figures.sent_bytes = reduce_dense(counts, ranks, patience);
    return figures;
  }
  figures.sent_bytes = shuffle_text(counts, ranks, patience);
  figures.windows = sum_text(counts, ranks, patience);
  return figures;
}

}  // namespace tally
