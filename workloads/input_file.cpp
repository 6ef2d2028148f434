#include "workloads/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <system_error>
#include <utility>

namespace tally {
namespace {

constexpr std::size_t kLeastCapacity = std::size_t{4} << 20;
constexpr std::size_t kCompressedChunk = std::size_t{256} << 10;

std::string bytes_of(std::uint64_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

/// An open file, read from its beginning. Closes it.
class Source {
 public:
  explicit Source(std::filesystem::path const& path) : path_(path) {
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail(std::generic_category().message(errno));
    struct stat status {};
    if (fstat(descriptor_, &status) != 0) fail_and_close(errno);
    if (S_ISDIR(status.st_mode)) fail_and_close(EISDIR);
    // Pipes and devices do not tell their size.
    if (S_ISREG(status.st_mode)) expected_bytes_ = static_cast<std::uint64_t>(status.st_size);
  }
  Source(Source const&) = delete;
  Source& operator=(Source const&) = delete;
  ~Source() { close(descriptor_); }

  /// Fills `into` as far as the file reaches; less than its size means that the file has ended.
  std::size_t read(std::span<std::byte> into) {
    std::size_t filled = 0;
    while (filled < into.size()) {
      ssize_t const n = ::read(descriptor_, into.data() + filled, into.size() - filled);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(std::generic_category().message(errno) + " after " + bytes_of(bytes_read_ + filled));
      if (n == 0) break;
      filled += static_cast<std::size_t>(n);
    }
    bytes_read_ += filled;
    return filled;
  }

  [[noreturn]] void fail(std::string const& why) const {
    throw InputFailed("cannot read " + path_.string() + ": " + why);
  }
  std::uint64_t expected_bytes() const noexcept { return expected_bytes_; }
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }

 private:
  [[noreturn]] void fail_and_close(int error) const {
    close(descriptor_);
    fail(std::generic_category().message(error));
  }

  std::filesystem::path const& path_;
  int descriptor_ = -1;
  std::uint64_t expected_bytes_ = 0;
  std::uint64_t bytes_read_ = 0;
};

/// Bytes that arrive without saying how many they will be, in pages that grow.
class Growing {
 public:
  explicit Growing(std::size_t capacity) : pages_(std::max(capacity, kLeastCapacity)) {}
  /// Room for at least one more byte.
  std::span<std::byte> room() {
    if (size_ == pages_.bytes()) pages_.resize(2 * pages_.bytes());
    return {static_cast<std::byte*>(pages_.data()) + size_, pages_.bytes() - size_};
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

void read_plain(Source& source, std::span<std::byte const> begun, Growing& out) {
  std::span<std::byte> room = out.room();
  std::copy(begun.begin(), begun.end(), room.begin());
  out.took(begun.size());
  for (;;) {
    room = out.room();
    std::size_t const n = source.read(room);
    out.took(n);
    if (n < room.size()) return;
  }
}

/// Decompresses gzip members one after the other, from a source whose first bytes were read already.
class Gunzip {
 public:
  Gunzip(Source& source, std::span<std::byte const> begun, Growing& out) : source_(source), out_(out) {
    std::copy(begun.begin(), begun.end(), chunk_.begin());
    give(begun.size());
    // 15: the largest window; 16: a gzip header, and nothing else, is expected.
    if (inflateInit2(&zlib_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  Gunzip(Gunzip const&) = delete;
  Gunzip& operator=(Gunzip const&) = delete;
  ~Gunzip() { inflateEnd(&zlib_); }

  void run() {
    do {
      inflate_member();
    } while (another_member());
  }

 private:
  void give(std::size_t bytes) noexcept {
    zlib_.next_in = reinterpret_cast<Bytef*>(chunk_.data());
    zlib_.avail_in = static_cast<uInt>(bytes);
  }
  /// False at the end of the file.
  bool refill() {
    if (zlib_.avail_in == 0) give(source_.read(chunk_));
    return zlib_.avail_in != 0;
  }

  void inflate_member() {
    for (;;) {
      if (!refill()) fail("the gzip file is cut off", "get the whole file");
      std::span<std::byte> const room = out_.room();
      auto const offered = static_cast<uInt>(std::min<std::size_t>(room.size(), UINT_MAX));
      zlib_.next_out = reinterpret_cast<Bytef*>(room.data());
      zlib_.avail_out = offered;
      int const status = inflate(&zlib_, Z_NO_FLUSH);
      out_.took(offered - zlib_.avail_out);
      if (status == Z_STREAM_END) return;
      if (status == Z_MEM_ERROR) throw std::bad_alloc();
      if (status != Z_OK && status != Z_BUF_ERROR) {
        fail("the gzip file is damaged (" + std::string(zlib_.msg != nullptr ? zlib_.msg : "unknown") + ")",
             "get the file again");
      }
    }
  }

  /// What follows a member: another one, the end, or the zeros that tapes pad with. Anything else is an
  /// error, where gzip only warns: its bytes would be missing from the counts.
  bool another_member() {
    if (!refill()) return false;
    if (*zlib_.next_in == 0x1f) {
      inflateReset(&zlib_);
      return true;
    }
    while (refill()) {
      Bytef const* const end = zlib_.next_in + zlib_.avail_in;
      if (std::any_of(static_cast<Bytef const*>(zlib_.next_in), end, [](Bytef b) { return b != 0; })) {
        fail("something that is not gzip follows the gzip data", "cut it off, or decompress the file first");
      }
      zlib_.avail_in = 0;
    }
    return false;
  }

  [[noreturn]] void fail(std::string const& what, std::string const& advice) const {
    source_.fail(what + ": " + bytes_of(source_.bytes_read() - zlib_.avail_in) + " of it were read, and " +
                 bytes_of(out_.size()) + " came out; " + advice);
  }

  Source& source_;
  Growing& out_;
  z_stream zlib_{};
  std::array<std::byte, kCompressedChunk> chunk_;
};

}  // namespace

InputFile::InputFile(std::filesystem::path const& path) : path_(path) {
  Source source(path_);
  try {
    std::array<std::byte, 2> magic{};
    std::span<std::byte const> const begun(magic.data(), source.read(magic));
    was_gzip_ = begun.size() == 2 && magic[0] == std::byte{0x1f} && magic[1] == std::byte{0x8b};
    // One byte more than a plain file has, so that its end shows without growing.
    Growing bytes(source.expected_bytes() + 1);
    if (was_gzip_) {
      auto const gunzip = std::make_unique<Gunzip>(source, begun, bytes);
      gunzip->run();
    } else {
      read_plain(source, begun, bytes);
    }
    std::size_t const size = bytes.size();
    memory_ = std::move(bytes).finish();
    text_ = {static_cast<char const*>(memory_.data()), size};
  } catch (std::bad_alloc const&) {
    source.fail("it does not fit into memory, after " + bytes_of(source.bytes_read()) + " of it");
  }
}

}  // namespace tally
