#include "mpi/merge.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "bench/analysis/sample.hpp"
#include "workloads/base/random.hpp"

namespace tally {
namespace {

constexpr int kRoot = 0;
constexpr char kWhatMerging[] = "merging";

/// Of dense rows that are summed at once, as messages of a few kilobytes would take a round trip each.
constexpr std::size_t kRowsBytes = std::size_t{4} << 20;

/// A number in seven bits a byte, the least first, as long as it needs (LEB128): counts are small, and so are
/// keys. Written to `to`; returns what is behind it.
char* put_number(char* to, std::uint64_t n) noexcept {
  for (; n >= 0x80; n >>= 7) *to++ = static_cast<char>(n | 0x80);
  *to++ = static_cast<char>(n);
  return to;
}
/// How many bytes that takes at most.
constexpr std::size_t kNumberBytes = 10;

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
  /// One of eight bytes.
  std::uint64_t whole_number() {
    std::uint64_t n;
    std::memcpy(&n, text(sizeof n).data(), sizeof n);
    return n;
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
constexpr std::size_t kFigures = 7;
std::array<std::uint64_t*, kFigures> figures_of(Counts& counts) {
  return {&counts.events,   &counts.malformed, &counts.replies, &counts.tasks,
          &counts.checksum, &counts.coverage,  &counts.pairs};
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
MergeFigures reduce_dense(Counts& counts, std::uint64_t windows, Communicator const& ranks,
                          Patience const& patience) {
  bool const root = ranks.rank() == kRoot;
  std::size_t const keys = counts.keys();
  std::array<std::uint64_t, kFigures + 1> sums{};
  auto const figures = figures_of(counts);
  for (std::size_t i = 0; i < kFigures; ++i) sums[i] = *figures[i];
  windows = std::max<std::uint64_t>(windows, 1);
  sums[kFigures] = counts.dense_windows() - std::min(windows, counts.dense_windows());
  std::uint64_t sent = ranks.sum_two_to(sums, {counts.dense_row(0), keys}, kRoot, patience, kWhatMerging);
  set_figures(counts, root ? sums.data() : nullptr);

  std::size_t const rows_at_once = std::max<std::size_t>(1, kRowsBytes / (keys * sizeof(std::uint64_t)));
  std::vector<std::uint64_t> rows;
  for (std::uint64_t window = 1; window < windows;) {
    std::size_t const n = std::min<std::uint64_t>(rows_at_once, windows - window);
    if (n == 1) {
      sent += ranks.sum_to({counts.dense_row(window), keys}, kRoot, patience, kWhatMerging);
    } else {
      rows.assign(n * keys, 0);
      for (std::size_t i = 0; i < n; ++i)
        if (auto const* const row = counts.dense_row_if(window + i))
          std::copy_n(row, keys, rows.data() + i * keys);
      sent += ranks.sum_to(rows, kRoot, patience, kWhatMerging);
      for (std::size_t i = 0; i < n && root; ++i)
        std::copy_n(rows.data() + i * keys, keys, counts.dense_row(window + i));
    }
    window += n;
  }
  if (root) return {sent, {}, sums[kFigures]};
  counts = Counts::dense(counts.keys());
  return {sent, {}, 0};
}

/// Events that this rank has after merging, by the windows' starts.
using WindowEvents = std::map<std::int64_t, std::uint64_t>;

/// Adds what another rank sent: windows, one after the other, each with its keys. Keys stay where they are.
void add(Counts& counts, std::string_view bytes, WindowEvents& events) {
  struct Key {
    std::string_view text;
    std::uint64_t hash, count;
  };
  // Read some keys ahead of counting them, so that their places come from memory meanwhile.
  constexpr std::size_t kAhead = 32;
  std::array<Key, kAhead> ahead;
  Received in(bytes);
  while (!in.ended()) {
    std::int64_t const start = zagzig(in.number());
    TextMap& window = counts.text_window(start);
    std::uint64_t const keys = in.whole_number();
    std::uint64_t sum = 0;
    auto const count = [&](Key const& key) {
      window.count_of_hashed(key.text, key.hash, [](std::string_view is_new) { return is_new; }) += key.count;
      sum += key.count;
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
    events[start] += sum;
  }
}

/// What goes to one rank, as it is packed.
struct Outgoing {
  Bytes bytes;
  std::size_t used = 0;
  std::size_t keys_at = 0;  ///< where the number of the window's keys is written when it is known
  std::uint64_t keys = 0;   ///< of the window, so far

  /// Room for so many bytes more.
  char* room(std::size_t n) {
    constexpr std::size_t kFirst = 256;
    if (used + n > bytes.size()) bytes.resize(std::max({kFirst, 2 * bytes.size(), used + n}));
    return bytes.data() + used;
  }
  void begin_window(std::int64_t start) {
    char* const at = put_number(room(kNumberBytes + sizeof keys), zigzag(start));
    keys_at = static_cast<std::size_t>(at - bytes.data());
    used = keys_at + sizeof keys;
  }
  void put(std::string_view key, std::uint64_t count) {
    char* at = room(2 * kNumberBytes + key.size());
    at = put_number(put_number(at, key.size()), count);
    used = static_cast<std::size_t>(std::copy(key.begin(), key.end(), at) - bytes.data());
    ++keys;
  }
  void end_window() {
    if (keys > 0) std::memcpy(bytes.data() + keys_at, &keys, sizeof keys);
    keys = 0;
  }
};

/// What this rank has of other ranks' keys, for each of them; in `counts` stay its own, whose events are
/// added to `events`. One pass: a table of millions of keys is read from memory once.
std::vector<Bytes> take_others(Counts& counts, int ranks, int me, WindowEvents& events) {
  std::vector<Outgoing> out(static_cast<std::size_t>(ranks));
  counts.each_text_window([&](std::int64_t start, TextMap& map) {
    std::uint64_t stayed = 0;
    map.take_out([&](std::uint64_t hash) { return owner_of(hash, ranks) == me; },
                 [&](std::string_view key, std::uint64_t hash, std::uint64_t count) {
                   Outgoing& to = out[static_cast<std::size_t>(owner_of(hash, ranks))];
                   if (to.keys == 0) to.begin_window(start);
                   to.put(key, count);
                 },
                 [&stayed](std::uint64_t count) { stayed += count; });
    for (Outgoing& to : out) to.end_window();
    events[start] += stayed;
  });
  std::vector<Bytes> packed;
  for (Outgoing& to : out) {
    to.bytes.resize(to.used);
    packed.push_back(std::move(to.bytes));
  }
  return packed;
}

std::uint64_t shuffle_text(Counts& counts, Communicator const& ranks, Patience const& patience,
                           WindowEvents& events) {
  if (ranks.size() == 1) {
    for (auto const& window : counts.windows()) events[window.window] = window.events;
    return 0;
  }
  std::vector<Bytes> came;
  std::uint64_t sent = 0;
  {
    auto const packed = take_others(counts, ranks.size(), ranks.rank(), events);
    for (Bytes const& part : packed) sent += part.size();
    came = ranks.all_to_all(packed, patience, kWhatMerging);
  }
  for (Bytes& part : came) {
    if (part.size() == 0) continue;
    auto const kept = std::make_shared<Bytes const>(std::move(part));
    counts.keep(kept);
    add(counts, {kept->data(), kept->size()}, events);
  }
  return sent;
}

/// Figures, totals of all windows and the first malformed lines, to the root.
std::vector<Counts::WindowTotal> sum_text(Counts& counts, WindowEvents const& events,
                                          Communicator const& ranks, Patience const& patience) {
  std::vector<std::uint64_t> mine;
  for (std::uint64_t const* const figure : figures_of(counts)) mine.push_back(*figure);
  std::size_t const number_at = mine.size();
  mine.push_back(0);
  for (auto const& [start, sum] : events) {
    if (sum == 0) continue;
    ++mine[number_at];
    mine.insert(mine.end(), {static_cast<std::uint64_t>(start), sum, counts.text_window(start).size()});
  }
  mine.push_back(counts.first_malformed().size());
  for (auto const& line : counts.first_malformed()) {
    mine.push_back(line.position);
    put_text(mine, line.reason);
  }
  auto const all = ranks.gather_numbers(mine, kRoot, patience, kWhatMerging);
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

MergeFigures merge_over_ranks(Counts& counts, std::uint64_t windows, Communicator const& ranks,
                              Patience const& patience) {
  if (counts.kind() == KeyKind::dense) return reduce_dense(counts, windows, ranks, patience);
  MergeFigures figures;
  WindowEvents events;
  figures.sent_bytes = shuffle_text(counts, ranks, patience, events);
  figures.windows = sum_text(counts, events, ranks, patience);
  return figures;
}

}  // namespace tally
