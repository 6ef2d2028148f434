#include "workloads/input/byte_source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <new>
#include <system_error>
#include <vector>

namespace tally {
namespace {

constexpr std::size_t kCompressedChunk = std::size_t{256} << 10;
constexpr std::size_t kMagicBytes = 4;

std::string bytes_of(std::uint64_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

}  // namespace

/// An open file, read from its beginning, of which the first bytes may be looked at first. Closes it.
class ByteSource::File {
 public:
  explicit File(std::filesystem::path const& path) {
    bool const standard_input = path == kStandardInput;
    name_ = standard_input ? "standard input" : path.string();
    descriptor_ =
        standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail(std::generic_category().message(errno));
    struct stat status {};
    if (fstat(descriptor_, &status) != 0) fail_and_close(errno);
    if (S_ISDIR(status.st_mode)) fail_and_close(EISDIR);
    // Pipes and devices do not tell their size; of what standard input was redirected from, some may be read
    // already.
    regular_ = S_ISREG(status.st_mode) && !standard_input;
    if (S_ISREG(status.st_mode)) bytes_ = static_cast<std::uint64_t>(status.st_size);
    try {
      begun_ = read_on(std::span(magic_));
    } catch (...) {
      close(descriptor_);
      throw;
    }
  }
  File(File const&) = delete;
  File& operator=(File const&) = delete;
  ~File() { close(descriptor_); }

  std::string_view magic() const noexcept { return {magic_.data(), begun_}; }

  /// As ByteSource::read(), of the bytes as they lie there.
  std::size_t read(std::span<char> into) {
    std::size_t const begun = std::min(into.size(), begun_ - given_);
    std::copy_n(magic_.data() + given_, begun, into.data());
    given_ += begun;
    return begun + read_on(into.subspan(begun));
  }

  [[noreturn]] void fail(std::string const& why) const {
    throw InputFailed("cannot read " + name_ + ": " + why);
  }
  bool regular() const noexcept { return regular_; }
  int descriptor() const noexcept { return descriptor_; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  std::uint64_t bytes_read() const noexcept { return bytes_read_.load(std::memory_order_relaxed); }
  std::string const& name() const noexcept { return name_; }

 private:
  std::size_t read_on(std::span<char> into) {
    std::size_t filled = 0;
    while (filled < into.size()) {
      ssize_t const n = ::read(descriptor_, into.data() + filled, into.size() - filled);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(std::generic_category().message(errno) + " after " + bytes_of(bytes_read()));
      if (n == 0) break;
      filled += static_cast<std::size_t>(n);
      bytes_read_ += static_cast<std::uint64_t>(n);
    }
    return filled;
  }
  [[noreturn]] void fail_and_close(int error) const {
    close(descriptor_);
    fail(std::generic_category().message(error));
  }

  std::string name_;
  int descriptor_ = -1;
  bool regular_ = false;
  std::uint64_t bytes_ = 0;
  std::atomic<std::uint64_t> bytes_read_ = 0;  // also read by who shows progress
  std::array<char, kMagicBytes> magic_{};
  std::size_t begun_ = 0;  // of the magic number, how much there is
  std::size_t given_ = 0;  // and how much of that has been read
};

/// Decompresses a file piece by piece.
class ByteSource::Decoder {
 public:
  explicit Decoder(File& file, char const* format) : file_(file), format_(format), chunk_(kCompressedChunk) {}
  virtual ~Decoder() = default;

  /// As ByteSource::read().
  std::size_t read(std::span<char> into) {
    std::size_t filled = 0;
    while (filled < into.size() && !ended_) filled += decode(into.subspan(filled));
    return filled;
  }

 protected:
  /// Decompresses some of what is left, possibly nothing, and says so with came_out(); calls end() at the
  /// end.
  virtual std::size_t decode(std::span<char> into) = 0;

  void end() noexcept { ended_ = true; }
  /// Before an error is told: what came out until then is part of it.
  std::size_t came_out(std::size_t bytes) noexcept {
    out_ += bytes;
    return bytes;
  }
  /// What was read and has not been consumed; empty only at the end of the file.
  std::span<char> input() {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = file_.read(chunk_);
    }
    return std::span(chunk_).subspan(begin_, end_ - begin_);
  }
  void consume(std::size_t bytes) noexcept { begin_ += bytes; }
  [[noreturn]] void cut_off() const {
    fail("the " + std::string(format_) + " file is cut off", "get the whole file");
  }
  [[noreturn]] void damaged(char const* how) const {
    fail("the " + std::string(format_) + " file is damaged (" +
             std::string(how != nullptr ? how : "unknown") + ")",
         "get the file again");
  }
  [[noreturn]] void fail(std::string const& what, char const* advice) const {
    file_.fail(what + ": " + bytes_of(file_.bytes_read() - (end_ - begin_)) + " of it were read, and " +
               bytes_of(out_) + " came out; " + advice);
  }

 private:
  File& file_;
  char const* format_;
  std::vector<char> chunk_;
  std::size_t begin_ = 0, end_ = 0;  // of the chunk, what is left
  std::uint64_t out_ = 0;
  bool ended_ = false;
};

namespace {

/// gzip members one after the other.
class Gunzip final : public ByteSource::Decoder {
 public:
  explicit Gunzip(ByteSource::File& file) : Decoder(file, "gzip") {
    // 15: the largest window; 16: a gzip header, and nothing else, is expected.
    if (inflateInit2(&zlib_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  Gunzip(Gunzip const&) = delete;
  Gunzip& operator=(Gunzip const&) = delete;
  ~Gunzip() override { inflateEnd(&zlib_); }

 private:
  std::size_t decode(std::span<char> into) override {
    if (!in_member_ && !next_member()) {
      end();
      return 0;
    }
    std::span<char> const from = input();
    if (from.empty()) cut_off();
    auto const offered = static_cast<uInt>(std::min<std::size_t>(into.size(), UINT_MAX));
    zlib_.next_in = reinterpret_cast<Bytef*>(from.data());
    zlib_.avail_in = static_cast<uInt>(from.size());
    zlib_.next_out = reinterpret_cast<Bytef*>(into.data());
    zlib_.avail_out = offered;
    int const status = inflate(&zlib_, Z_NO_FLUSH);
    consume(from.size() - zlib_.avail_in);
    std::size_t const out = came_out(offered - zlib_.avail_out);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && status != Z_BUF_ERROR && status != Z_STREAM_END) damaged(zlib_.msg);
    in_member_ = status != Z_STREAM_END;
    return out;
  }

  /// What follows a member: another one, the end, or the zeros that tapes pad with. Anything else is an
  /// error, where gzip only warns: its bytes would be missing from the counts.
  bool next_member() {
    std::span<char> from = input();
    if (from.empty()) return false;
    if (from[0] == '\x1f') {
      inflateReset(&zlib_);
      return in_member_ = true;
    }
    for (; !from.empty(); from = input()) {
      if (std::any_of(from.begin(), from.end(), [](char c) { return c != '\0'; })) {
        fail("something that is not gzip follows the gzip data", "cut it off, or decompress the file first");
      }
      consume(from.size());
    }
    return false;
  }

  z_stream zlib_{};
  bool in_member_ = true;
};

/// zstd frames one after the other.
class Unzstd final : public ByteSource::Decoder {
 public:
  explicit Unzstd(ByteSource::File& file) : Decoder(file, "zstd"), zstd_(ZSTD_createDStream()) {
    if (zstd_ == nullptr) throw std::bad_alloc();
  }
  Unzstd(Unzstd const&) = delete;
  Unzstd& operator=(Unzstd const&) = delete;
  ~Unzstd() override { ZSTD_freeDStream(zstd_); }

 private:
  std::size_t decode(std::span<char> into) override {
    std::span<char> const from = input();
    if (from.empty() && in_frame_ && !held_back_) cut_off();
    if (from.empty() && !in_frame_) {
      end();
      return 0;
    }
    ZSTD_inBuffer in{from.data(), from.size(), 0};
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    std::size_t const left = ZSTD_decompressStream(zstd_, &out, &in);
    consume(in.pos);
    came_out(out.pos);
    if (ZSTD_isError(left) != 0) damaged(ZSTD_getErrorName(left));
    in_frame_ = left != 0;
    // Where the room was filled there may be more to come out before more is needed.
    held_back_ = in_frame_ && out.pos == out.size;
    return out.pos;
  }

  ZSTD_DStream* zstd_;
  bool in_frame_ = true;
  bool held_back_ = false;
};

Compression told_by(std::string_view magic) noexcept {
  auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(magic[i]); };
  if (magic.size() >= 2 && byte(0) == 0x1f && byte(1) == 0x8b) return Compression::gzip;
  if (magic.size() < kMagicBytes) return Compression::none;
  bool const frame = byte(0) == 0x28 && byte(1) == 0xb5 && byte(2) == 0x2f && byte(3) == 0xfd;
  bool const skippable = (byte(0) & 0xf0) == 0x50 && byte(1) == 0x2a && byte(2) == 0x4d && byte(3) == 0x18;
  return frame || skippable ? Compression::zstd : Compression::none;
}

}  // namespace

ByteSource::ByteSource(std::filesystem::path const& path)
    : file_(std::make_unique<File>(path)), compression_(told_by(file_->magic())) {
  if (compression_ == Compression::gzip) decoder_ = std::make_unique<Gunzip>(*file_);
  if (compression_ == Compression::zstd) decoder_ = std::make_unique<Unzstd>(*file_);
}

ByteSource::~ByteSource() = default;

std::size_t ByteSource::read(std::span<char> into) {
  return decoder_ ? decoder_->read(into) : file_->read(into);
}

bool ByteSource::plain_file() const noexcept { return compression_ == Compression::none && file_->regular(); }
int ByteSource::descriptor() const noexcept { return file_->descriptor(); }
std::uint64_t ByteSource::file_bytes() const noexcept { return file_->bytes(); }
std::uint64_t ByteSource::bytes_read() const noexcept { return file_->bytes_read(); }
std::string const& ByteSource::name() const noexcept { return file_->name(); }
void ByteSource::fail(std::string const& why) const { file_->fail(why); }

}  // namespace tally
