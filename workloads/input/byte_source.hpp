// The bytes of a file, a pipe or standard input, decompressed if they are gzip or zstd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

namespace tally {

/// The file is missing, a directory, unreadable, too large for memory, became shorter, or is compressed and
/// damaged, cut off, or followed by something else. what() is one line for the user that names the file and,
/// if it is compressed, how many of its bytes were read and how many came out.
struct InputFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Compression : std::uint8_t { none, gzip, zstd };

/// Reads from the beginning to the end. What is compressed is told by its magic number: gzip (RFC 1952;
/// several members one after the other are one file, as gzip -d has it; zeros after the last are ignored,
/// anything else there is an error) or zstd (RFC 8878; several frames are one file, with windows of up to 128
/// MiB, as zstd -d has it).
class ByteSource {
 public:
  /// Opens the file; `path` kStandardInput is standard input. Throws InputFailed.
  explicit ByteSource(std::filesystem::path const& path);
  ~ByteSource();
  ByteSource(ByteSource const&) = delete;
  ByteSource& operator=(ByteSource const&) = delete;

  static constexpr char kStandardInput[] = "-";

  /// Fills `into` as far as there are bytes, and returns how many those are; less than its size means that
  /// they have ended. Throws InputFailed, std::bad_alloc.
  std::size_t read(std::span<char> into);

  Compression compression() const noexcept { return compression_; }
  /// Whether these are the bytes of a regular file, as they are, which can be read at any place of it.
  bool plain_file() const noexcept;
  /// The descriptor; it stays this object's own.
  int descriptor() const noexcept;
  /// Bytes of the file, as it lies there; 0 if it is a pipe or device, which does not tell.
  std::uint64_t file_bytes() const noexcept;
  /// Bytes of the file that were read, as they lie there.
  std::uint64_t bytes_read() const noexcept;
  /// What messages call it.
  std::string const& name() const noexcept;
  /// Throws InputFailed: "cannot read NAME: WHY".
  [[noreturn]] void fail(std::string const& why) const;

  class File;
  class Decoder;

 private:
  std::unique_ptr<File> file_;
  std::unique_ptr<Decoder> decoder_;
  Compression compression_ = Compression::none;
};

}  // namespace tally
