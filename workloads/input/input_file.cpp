#include "workloads/input/input_file.hpp"

#include <algorithm>
#include <cstddef>
#include <new>
#include <span>
#include <string>
#include <utility>

namespace tally {
namespace {

constexpr std::size_t kLeastCapacity = std::size_t{4} << 20;

/// Bytes that arrive without saying how many they will be, in pages that grow.
class Growing {
 public:
  explicit Growing(std::size_t capacity) : pages_(std::max(capacity, kLeastCapacity)) {}
  /// Room for at least one more byte.
  std::span<char> room() {
    if (size_ == pages_.bytes()) pages_.resize(2 * pages_.bytes());
    return {static_cast<char*>(pages_.data()) + size_, pages_.bytes() - size_};
  }
  void took(std::size_t bytes) noexcept { size_ += bytes; }
  std::size_t size() const noexcept { return size_; }
  SharedPages finish() && {
    pages_.resize(size_);
    return std::move(pages_);
  }

 private:
  SharedPages pages_;
  std::size_t size_ = 0;
};

}  // namespace

InputFile::InputFile(std::filesystem::path const& path) : path_(path) {
  ByteSource source(path_);
  compression_ = source.compression();
  try {
    // One byte more than a plain file has, so that its end shows without growing.
    Growing bytes(source.file_bytes() + 1);
    for (;;) {
      std::span<char> const room = bytes.room();
      std::size_t const n = source.read(room);
      bytes.took(n);
      if (n < room.size()) break;
    }
    std::size_t const size = bytes.size();
    memory_ = std::move(bytes).finish();
    text_ = {static_cast<char const*>(memory_.data()), size};
  } catch (std::bad_alloc const&) {
    source.fail("it does not fit into memory, after " + std::to_string(source.bytes_read()) + " bytes of it");
  }
}

}  // namespace tally
