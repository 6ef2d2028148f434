#include "workloads/counting/counts.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

namespace tally {

Counts::Counts(KeyKind kind, std::uint32_t keys) : kind_(kind), keys_(keys) {}
Counts Counts::dense(std::uint32_t keys) { return Counts(KeyKind::dense, keys); }
Counts Counts::text() { return Counts(KeyKind::text, 0); }
Counts::Counts(Counts&&) noexcept = default;
Counts& Counts::operator=(Counts&&) noexcept = default;
Counts::~Counts() = default;

std::uint64_t* Counts::make_row(std::uint64_t window) {
  if (window >= rows_.size()) rows_.resize(window + 1);
  if (window < room_.size() / keys_) {
    rows_[window] = Row(room_.subspan(window * keys_, keys_).data(), Free{.is_placed = true});
    return rows_[window].get();
  }
  // calloc, not new: a large row is fresh pages from the kernel, and those never counted in are never
  // resident.
  auto* const row = static_cast<std::uint64_t*>(std::calloc(keys_, sizeof(std::uint64_t)));
  if (row == nullptr) throw std::bad_alloc();
  rows_[window] = Row(row);
  return row;
}

TextMap& Counts::make_window(std::int64_t window_start) {
  auto const [found, is_new] = window_index_.try_emplace(window_start, windows_.size());
  if (is_new) windows_.push_back({window_start, std::make_unique<TextMap>()});
  last_window_ = windows_[found->second].map.get();
  last_window_start_ = window_start;
  return *last_window_;
}

std::string_view Counts::copy_of(std::string_view key) {
  constexpr std::size_t kBlock = 64 * 1024;
  if (key.size() > copies_left_) {
    // A key as long as that has a block to itself, and the one begun goes on.
    std::size_t const bytes = key.size() > kBlock / 4 ? key.size() : kBlock;
    std::shared_ptr<char[]> const block(new char[bytes]);
    owned_keys_.push_back(block);
    if (bytes == key.size()) {
      std::memcpy(block.get(), key.data(), key.size());
      return {block.get(), key.size()};
    }
    copies_ = block.get();
    copies_left_ = bytes;
  }
  if (key.empty()) return {};
  std::memcpy(copies_, key.data(), key.size());
  std::string_view const copy(copies_, key.size());
  copies_ += key.size();
  copies_left_ -= key.size();
  return copy;
}

void Counts::merge_figures(Counts const& other) {
  events += other.events;
  malformed += other.malformed;
  replies += other.replies;
  tasks += other.tasks;
  checksum += other.checksum;
  coverage += other.coverage;
  pairs += other.pairs;
  for (auto const& line : other.first_malformed_) {
    add_malformed(line);
    --malformed;  // counted above already
  }
}

void Counts::merge_copying(Counts&& other) {
  if (other.kind_ != KeyKind::text || kind_ != KeyKind::text)
    throw std::logic_error("only counts of text keys are merged by copying them");
  for (auto const& window : other.windows_) {
    TextMap& mine = text_window(window.start);
    for (auto const& [key, count] : *window.map) count_of_copied(mine, key, TextHash{}(key)) += count;
  }
  merge_figures(other);
  other = Counts(kind_, keys_);
}

void Counts::merge(Counts&& other) {
  if (other.kind_ != kind_ || other.keys_ != keys_) {
    throw std::logic_error("counts of different kinds of keys cannot be merged");
  }
  for (std::uint64_t w = 0; w < other.rows_.size(); ++w) {
    if (!other.rows_[w]) continue;
    if (w >= rows_.size()) rows_.resize(w + 1);
    if (!rows_[w]) {
      rows_[w] = std::move(other.rows_[w]);
      continue;
    }
    std::uint64_t* const mine = rows_[w].get();
    std::uint64_t const* const theirs = other.rows_[w].get();
    for (std::uint32_t k = 0; k < keys_; ++k) mine[k] += theirs[k];
  }
  for (auto& window : other.windows_) {
    TextMap& mine = text_window(window.start);
    if (mine.empty()) {
      std::swap(mine, *window.map);
      continue;
    }
    for (auto const& [key, count] : *window.map) mine[key] += count;
  }
  merge_figures(other);
  owned_keys_.insert(owned_keys_.end(), other.owned_keys_.begin(), other.owned_keys_.end());
  other = Counts(kind_, keys_);
}

void Counts::add_malformed(Malformed const& line) {
  ++malformed;
  if (first_malformed_.size() == kMalformedKept && first_malformed_.back().position <= line.position) return;
  auto const at = std::upper_bound(first_malformed_.begin(), first_malformed_.end(), line,
                                   [](auto const& a, auto const& b) { return a.position < b.position; });
  first_malformed_.insert(at, line);
  if (first_malformed_.size() > kMalformedKept) first_malformed_.pop_back();
}

std::vector<Counts::TextWindow const*> Counts::windows_in_order() const {
  std::vector<TextWindow const*> order;
  for (auto const& window : windows_) order.push_back(&window);
  std::sort(order.begin(), order.end(), [](auto const* a, auto const* b) { return a->start < b->start; });
  return order;
}

namespace {

/// The first `top` of `all`, greatest first, equal counts by key bytes.
std::vector<Counts::KeyCount> greatest(std::vector<Counts::KeyCount> all, std::size_t top) {
  auto const greater = [](Counts::KeyCount const& a, Counts::KeyCount const& b) {
    return a.count != b.count ? a.count > b.count : a.key < b.key;
  };
  top = std::min(top, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(top), all.end(), greater);
  all.resize(top);
  return all;
}

}  // namespace

std::vector<Counts::KeyCount> Counts::totals(std::size_t top) const {
  std::vector<KeyCount> result;
  if (kind_ == KeyKind::dense) {
    std::vector<std::uint64_t> sums(keys_);
    for (auto const& row : rows_) {
      for (std::uint32_t k = 0; row && k < keys_; ++k) sums[k] += row[k];
    }
    for (std::uint32_t k = 0; k < keys_; ++k) {
      if (sums[k] != 0) result.push_back({std::to_string(k), sums[k]});
    }
  } else {
    TextMap sums;
    for (auto const& window : windows_) {
      for (auto const& [key, count] : *window.map) sums[key] += count;
    }
    for (auto const& [key, count] : sums) result.push_back({std::string(key), count});
  }
  return greatest(std::move(result), top);
}

std::vector<Counts::KeyCount> Counts::window_totals(std::int64_t window, std::size_t top) const {
  std::vector<KeyCount> result;
  if (kind_ == KeyKind::dense) {
    auto const w = static_cast<std::uint64_t>(window);
    for (std::uint32_t k = 0; w < rows_.size() && rows_[w] && k < keys_; ++k)
      if (rows_[w][k] != 0) result.push_back({std::to_string(k), rows_[w][k]});
  } else if (auto const found = window_index_.find(window); found != window_index_.end()) {
    for (auto const& [key, count] : *windows_[found->second].map) result.push_back({std::string(key), count});
  }
  return greatest(std::move(result), top);
}

std::vector<Counts::WindowTotal> Counts::windows() const {
  std::vector<WindowTotal> result;
  auto const add = [&result](std::int64_t window, std::uint64_t total, std::uint64_t distinct) {
    if (total != 0) result.push_back({window, total, distinct});
  };
  for (std::size_t w = 0; w < rows_.size(); ++w) {
    std::uint64_t total = 0, distinct = 0;
    for (std::uint32_t k = 0; rows_[w] && k < keys_; ++k) {
      total += rows_[w][k];
      distinct += rows_[w][k] != 0;
    }
    add(static_cast<std::int64_t>(w), total, distinct);
  }
  for (auto const* window : windows_in_order()) {
    std::uint64_t total = 0;
    for (auto const& [key, count] : *window->map) total += count;
    add(window->start, total, window->map->size());
  }
  return result;
}

namespace {

// Collects what differs and tells the first few.
class Differences {
 public:
  void compare(std::string_view what, std::uint64_t expected, std::uint64_t got) {
    if (expected == got) return;
    if (found_++ >= kShown) return;
    if (!text_.empty()) text_ += "; ";
    text_ += std::string(what) + ": expected " + std::to_string(expected) + ", got " + std::to_string(got);
  }
  void compare_key(std::int64_t window, std::string_view key, std::uint64_t expected, std::uint64_t got) {
    if (expected == got) return;
    std::string name = "window " + std::to_string(window) + ", key ";
    for (char const c : key.substr(0, 60)) name += (c >= ' ' && c != 127) ? c : '?';
    compare(name, expected, got);
  }
  std::string text() const {
    return found_ <= kShown ? text_
                            : text_ + "; and " + std::to_string(found_ - kShown) + " more differences";
  }

 private:
  static constexpr std::uint64_t kShown = 4;
  std::string text_;
  std::uint64_t found_ = 0;
};

}  // namespace

std::string Counts::difference(Counts const& got) const {
  if (got.kind_ != kind_ || got.keys_ != keys_) return "counts of another kind of keys than expected";
  Differences differences;
  for (std::size_t w = 0; w < std::max(rows_.size(), got.rows_.size()); ++w) {
    auto const* const mine = w < rows_.size() ? rows_[w].get() : nullptr;
    auto const* const theirs = w < got.rows_.size() ? got.rows_[w].get() : nullptr;
    if (mine == nullptr && theirs == nullptr) continue;
    if (mine != nullptr && theirs != nullptr && std::memcmp(mine, theirs, keys_ * sizeof *mine) == 0)
      continue;
    for (std::uint32_t k = 0; k < keys_; ++k) {
      std::uint64_t const a = mine ? mine[k] : 0, b = theirs ? theirs[k] : 0;
      if (a != b) differences.compare_key(static_cast<std::int64_t>(w), std::to_string(k), a, b);
    }
  }
  auto const count_in = [](Counts const& counts, std::int64_t window, std::string_view key) -> std::uint64_t {
    auto const at = counts.window_index_.find(window);
    if (at == counts.window_index_.end()) return 0;
    return counts.windows_[at->second].map->count_of(key);
  };
  for (auto const* window : windows_in_order()) {
    for (auto const& [key, count] : *window->map) {
      differences.compare_key(window->start, key, count, count_in(got, window->start, key));
    }
  }
  for (auto const* window : got.windows_in_order()) {
    for (auto const& [key, count] : *window->map) {
      if (count_in(*this, window->start, key) == 0) differences.compare_key(window->start, key, 0, count);
    }
  }
  differences.compare("events", events, got.events);
  differences.compare("malformed lines", malformed, got.malformed);
  differences.compare("replies", replies, got.replies);
  differences.compare("checksum of the work", checksum, got.checksum);
  differences.compare("checksum of the positions counted", coverage, got.coverage);
  differences.compare("checksum of events with their keys", pairs, got.pairs);
  return differences.text();
}

// The byte form: a flat sequence of 64-bit numbers and of texts (length, bytes).
namespace {

/// What is said of a window's row.
enum class RowForm : std::uint64_t { none, follows, placed };

class Writer {
 public:
  void number(std::uint64_t value) { bytes(&value, sizeof value); }
  void bytes(void const* data, std::size_t size) {
    auto const* const from = static_cast<std::byte const*>(data);
    out_.insert(out_.end(), from, from + size);
  }
  void text(std::string_view value) {
    number(value.size());
    bytes(value.data(), value.size());
  }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

class Reader {
 public:
  explicit Reader(std::span<std::byte const> bytes) : rest_(bytes) {}
  std::uint64_t number() {
    std::uint64_t value;
    bytes(&value, sizeof value);
    return value;
  }
  void bytes(void* to, std::size_t size) {
    if (size == 0) return;
    std::memcpy(to, take(size), size);
  }
  std::string_view text() {
    std::uint64_t const size = number();
    return {reinterpret_cast<char const*>(take(size)), size};
  }
  bool done() const { return rest_.empty(); }

 private:
  std::byte const* take(std::uint64_t size) {
    if (size > rest_.size()) throw std::runtime_error("counts from another process are cut off");
    auto const* const at = rest_.data();
    rest_ = rest_.subspan(size);
    return at;
  }
  std::span<std::byte const> rest_;
};

}  // namespace

std::vector<std::byte> Counts::write() const {
  Writer out;
  out.number(static_cast<std::uint64_t>(kind_));
  out.number(keys_);
  for (std::uint64_t const value : {events, malformed, replies, tasks, checksum, coverage, pairs})
    out.number(value);
  out.number(first_malformed_.size());
  for (auto const& line : first_malformed_) {
    out.number(line.position);
    // The reason is a literal of this program, so its address means the same in a forked process.
    out.number(reinterpret_cast<std::uintptr_t>(line.reason.data()));
    out.number(line.reason.size());
  }
  out.number(rows_.size());
  for (auto const& row : rows_) {
    RowForm const form = !row                          ? RowForm::none
                         : row.get_deleter().is_placed ? RowForm::placed
                                                       : RowForm::follows;
    out.number(static_cast<std::uint64_t>(form));
    if (form == RowForm::follows) out.bytes(row.get(), keys_ * sizeof(std::uint64_t));
  }
  out.number(windows_.size());
  for (auto const& window : windows_) {
    out.number(static_cast<std::uint64_t>(window.start));
    out.number(window.map->size());
    for (auto const& [key, count] : *window.map) {
      out.text(key);
      out.number(count);
    }
  }
  return out.take();
}

Counts Counts::read(std::span<std::byte const> bytes, std::span<std::uint64_t> room) {
  auto const own =
      std::make_shared<std::string const>(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  Reader in(std::as_bytes(std::span(*own)));
  auto const kind = static_cast<KeyKind>(in.number());
  Counts counts(kind, static_cast<std::uint32_t>(in.number()));
  for (auto* value : {&counts.events, &counts.malformed, &counts.replies, &counts.tasks, &counts.checksum,
                      &counts.coverage, &counts.pairs}) {
    *value = in.number();
  }
  for (std::uint64_t left = in.number(); left > 0; --left) {
    Malformed line{in.number(), {}};
    auto const* const reason = reinterpret_cast<char const*>(in.number());
    line.reason = {reason, in.number()};
    counts.first_malformed_.push_back(line);
  }
  std::uint64_t const rows = in.number();
  for (std::uint64_t w = 0; w < rows; ++w) {
    auto const form = static_cast<RowForm>(in.number());
    if (form == RowForm::none) continue;
    counts.place_rows(form == RowForm::placed ? room : std::span<std::uint64_t>{});
    std::uint64_t* const row = counts.make_row(w);
    if (form == RowForm::follows)
      in.bytes(row, counts.keys_ * sizeof(std::uint64_t));
    else if (!counts.rows_[w].get_deleter().is_placed)
      throw std::runtime_error("counts from another process lie in memory that is not here");
  }
  counts.place_rows({});
  for (std::uint64_t left = in.number(); left > 0; --left) {
    TextMap& map = counts.make_window(static_cast<std::int64_t>(in.number()));
    std::uint64_t const size = in.number();
    map.reserve(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      std::string_view const key = in.text();
      map[key] += in.number();
    }
  }
  if (!in.done()) throw std::runtime_error("counts from another process have bytes left over");
  counts.owned_keys_.push_back(own);
  return counts;
}

}  // namespace tally
