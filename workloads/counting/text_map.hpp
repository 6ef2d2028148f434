// How often each text key was met.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "workloads/base/random.hpp"

namespace tally {

/// Hashes a text key: words of it are mixed in by the two halves of products of 128 bits, so that every bit
/// of the key reaches every bit of the hash (folded multiplication, as wyhash has it; it avalanches, which
/// the flat map is told). By kinds of length, the words overlapping, and not word by word: keys of a stream
/// differ in length by some bytes, and a loop whose end the processor cannot foresee costs more than all else
/// here. Inline, which std::hash is not: keys are short, and the call is most of it.
struct TextHash {
  using is_avalanching = void;
  std::size_t operator()(std::string_view key) const noexcept {
    char const* at = key.data();
    std::size_t const size = key.size();
    std::uint64_t hash = kSecrets[0];
    if (size <= 16) return folded_product(folded_pair(at, size, hash), kSecrets[3] ^ size);
    for (; key.size() > 32; key.remove_prefix(16)) hash = folded_pair(key.data(), 16, hash);
    at = key.data();
    char const* const last = at + key.size() - 16;
    return folded_product(
        folded_pair(at, 16, hash) ^ folded_product(word(last) ^ kSecrets[2], word(last + 8) ^ kSecrets[1]),
        kSecrets[3] ^ size);
  }
  /// The 8 bytes at `at` as a number.
  static std::uint64_t word(char const* at) noexcept {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  /// The `bytes` bytes at `at`, 8 at most, as a number. None but these are read.
  static std::uint64_t word_at(char const* at, std::size_t bytes) noexcept {
    if (bytes >= 4) {
      std::uint32_t low, high;
      std::memcpy(&low, at, 4);
      std::memcpy(&high, at + bytes - 4, 4);
      return low | static_cast<std::uint64_t>(high) << 32;
    }
    if (bytes == 0) return 0;
    auto const byte = [&](std::size_t i) {
      return static_cast<std::uint64_t>(static_cast<unsigned char>(at[i]));
    };
    return byte(0) | byte(bytes / 2) << 8 | byte(bytes - 1) << 16;
  }

 private:
  static constexpr std::uint64_t kSecrets[] = {0x9e3779b97f4a7c15, 0xd6e8feb86659fd93, 0xbf58476d1ce4e5b9,
                                               0x94d049bb133111eb};
  /// The `bytes` bytes at `at`, 16 at most, and what was hashed before them.
  static std::uint64_t folded_pair(char const* at, std::size_t bytes, std::uint64_t hash) noexcept {
    if (bytes < 8) return folded_product(word_at(at, bytes) ^ hash, kSecrets[1]);
    return folded_product(word(at) ^ hash, word(at + bytes - 8) ^ kSecrets[1]);
  }
};

/// Whether two keys are the same, inline and by kinds of length for the same reasons.
struct TextEqual {
  bool operator()(std::string_view one, std::string_view other) const noexcept {
    std::size_t const size = one.size();
    if (size != other.size()) return false;
    char const *a = one.data(), *b = other.data();
    if (size < 8) return TextHash::word_at(a, size) == TextHash::word_at(b, size);
    auto const differ = [&](std::size_t at) { return TextHash::word(a + at) ^ TextHash::word(b + at); };
    if (size <= 16) return (differ(0) | differ(size - 8)) == 0;
    if (size <= 32) return (differ(0) | differ(8) | differ(size - 16) | differ(size - 8)) == 0;
    return std::memcmp(a, b, size) == 0;
  }
};

/// Counts by text key: open addressing with linear probing, hashes kept. Unlike maps of libraries it can be
/// told of a key some time before it is counted: with ten thousand keys, waiting for the memory where an
/// entry and its key stand is most of what counting one costs, and prefetch() lets it come while lines are
/// read.
///
/// Keys are views: whoever adds one keeps what it is of. Not synchronized.
class TextMap {
 public:
  struct KeyCount {
    std::string_view key;
    std::uint64_t count;
  };

  /// Begins to fetch where the key of this TextHash is, or would be.
  void prefetch(std::uint64_t hash) const noexcept {
    if (!entries_.empty()) __builtin_prefetch(&entries_[hash & mask()], 1);
  }
  /// The second step, when the first has had its time: begins to fetch the key that stands there.
  void prefetch_key(std::uint64_t hash) const noexcept {
    if (entries_.empty()) return;
    if (Entry const& entry = entries_[hash & mask()]; entry.hash == hash) __builtin_prefetch(entry.key);
  }

  /// The count of `key`, whose TextHash is `hash`; of a new one 0, and `keep(key)`, the same bytes, stays as
  /// the key. The reference is good until the next new key. Throws std::bad_alloc, and what `keep` throws;
  /// then nothing has changed.
  template <class Keep>
  std::uint64_t& count_of_hashed(std::string_view key, std::uint64_t hash, Keep keep) {
    if (Entry* const found = find(key, hash)) return found->count;
    if (4 * (size_ + 1) > 3 * entries_.size()) grow(size_ + 1);
    std::string_view const kept = keep(key);
    ++size_;
    return place({kept.empty() ? "" : kept.data(), kept.size(), hash, 0}).count;
  }
  /// The same of a key that stays as it is.
  std::uint64_t& operator[](std::string_view key) {
    return count_of_hashed(key, TextHash{}(key), [](std::string_view is_new) { return is_new; });
  }
  /// 0 of a key that was never met.
  std::uint64_t count_of(std::string_view key) const noexcept {
    Entry const* const found = const_cast<TextMap*>(this)->find(key, TextHash{}(key));
    return found == nullptr ? 0 : found->count;
  }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  /// Makes room for so many keys. Throws std::bad_alloc.
  void reserve(std::size_t keys) {
    if (4 * keys > 3 * entries_.size()) grow(keys);
  }

 private:
  /// Half a cache line. Without a key it is free.
  struct Entry {
    char const* key = nullptr;
    std::size_t size = 0;
    std::uint64_t hash = 0;
    std::uint64_t count = 0;
  };

 public:
  /// Keys with their counts, in no order.
  class Iterator {
   public:
    Iterator(Entry const* at, Entry const* end) noexcept : at_(at), end_(end) { skip_free(); }
    KeyCount operator*() const noexcept { return {{at_->key, at_->size}, at_->count}; }
    Iterator& operator++() noexcept {
      ++at_;
      skip_free();
      return *this;
    }
    bool operator!=(Iterator const& other) const noexcept { return at_ != other.at_; }

   private:
    void skip_free() noexcept {
      while (at_ != end_ && at_->key == nullptr) ++at_;
    }
    Entry const* at_;
    Entry const* end_;
  };
  Iterator begin() const noexcept { return {entries_.data(), entries_.data() + entries_.size()}; }
  Iterator end() const noexcept {
    return {entries_.data() + entries_.size(), entries_.data() + entries_.size()};
  }

  /// Calls `visit(bytes, hash, count)` for every key, of so many bytes, without looking at the keys
  /// themselves, which would have to come from memory.
  template <class Visit>
  void each_size(Visit visit) const {
    for (Entry const& entry : entries_) {
      if (entry.key != nullptr) visit(entry.size, entry.hash, entry.count);
    }
  }

  /// Takes out every key for whose TextHash `kept(hash)` is false, after calling `taken(key, hash, count)`
  /// for it, and `stays(count)` for the others. In place and in one pass: each entry that is kept is taken
  /// out and placed anew, which can only be where it was or nearer to its own place, since those before it in
  /// its run have been through that already. Keys come from memory meanwhile, where reading them one by one
  /// would wait for each. Throws what `taken` throws: then the map is of no use any more but to go.
  template <class Kept, class Taken, class Stays>
  void take_out(Kept kept, Taken taken, Stays stays) {
    if (entries_.empty()) return;
    constexpr std::size_t kAhead = 32;
    std::size_t free = 0;  // a place that is, so that the pass begins with no run under way; a quarter are
    while (entries_[free].key != nullptr) ++free;
    size_ = 0;
    for (std::size_t i = 1; i <= entries_.size(); ++i) {
      if (Entry const& ahead = entries_[(free + i + kAhead) & mask()];
          ahead.key != nullptr && !kept(ahead.hash))
        __builtin_prefetch(ahead.key);
      Entry& here = entries_[(free + i) & mask()];
      if (here.key == nullptr) continue;
      Entry const entry = std::exchange(here, Entry{});
      if (!kept(entry.hash)) {
        taken(std::string_view(entry.key, entry.size), entry.hash, entry.count);
        continue;
      }
      place(entry);
      stays(entry.count);
      ++size_;
    }
  }

 private:
  std::size_t mask() const noexcept { return entries_.size() - 1; }

  Entry* find(std::string_view key, std::uint64_t hash) noexcept {
    if (entries_.empty()) return nullptr;
    for (std::size_t i = hash & mask();; i = (i + 1) & mask()) {
      Entry& entry = entries_[i];
      if (entry.hash == hash && entry.key != nullptr && TextEqual{}({entry.key, entry.size}, key))
        return &entry;
      if (entry.key == nullptr) return nullptr;
    }
  }
  /// Of a key that is not there, and has room.
  Entry& place(Entry const& entry) noexcept {
    std::size_t i = entry.hash & mask();
    while (entries_[i].key != nullptr) i = (i + 1) & mask();
    return entries_[i] = entry;
  }
  void grow(std::size_t keys) {
    std::size_t room = 16;
    while (3 * room < 4 * keys) room *= 2;
    TextMap larger;
    larger.entries_.resize(room);
    for (Entry const& entry : entries_) {
      if (entry.key != nullptr) larger.place(entry);
    }
    entries_ = std::move(larger.entries_);
  }

  std::vector<Entry> entries_;  // a power of two of them, or none; at most three quarters are taken
  std::size_t size_ = 0;
};

}  // namespace tally
