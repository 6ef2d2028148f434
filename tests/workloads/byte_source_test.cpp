// Bytes of files as they come: zstd here; plain and gzip are tested with InputFile, which reads through it.
#include "workloads/input/byte_source.hpp"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zstd.h>

#include <string>
#include <string_view>

#include "tests/bench/memory_file.hpp"

namespace tally {
namespace {

std::string zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);  // as zstd(1) does
  out.resize(ZSTD_compress2(context, out.data(), out.size(), bytes.data(), bytes.size()));
  ZSTD_freeCCtx(context);
  return out;
}

std::string sample_text(std::size_t bytes) {
  std::string text;
  for (std::uint64_t i = 0; text.size() < bytes; ++i) text += "event " + std::to_string(i * i % 9973) + '\n';
  return text;
}

/// All bytes of a file, read `piece` at a time.
std::string read_all(std::string_view file, std::size_t piece) {
  MemoryFile const memory(file);
  ByteSource source(memory.path());
  std::string all, room(piece, '\0');
  for (;;) {
    std::size_t const n = source.read(room);
    all.append(room, 0, n);
    if (n < piece) return all;
  }
}

std::string failure_of(std::string_view file) {
  try {
    read_all(file, 1000);
  } catch (InputFailed const& failed) {
    return failed.what();
  }
  return "";
}

TEST(ByteSource, ZstdIsDecompressedWhateverIsReadAtOnce) {
  std::string const text = sample_text(1 << 20);
  for (std::size_t const piece : {std::size_t{1} << 12, std::size_t{999}, std::size_t{4} << 20})
    EXPECT_EQ(read_all(zstd(text), piece), text) << piece;
  EXPECT_EQ(read_all(zstd(""), 10), "");
}

TEST(ByteSource, FramesOfZstdOneAfterTheOtherAreOneFile) {
  std::string const skippable("\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
  EXPECT_EQ(read_all(zstd("a\n") + zstd("") + skippable + zstd("b\n"), 100), "a\nb\n");
  EXPECT_EQ(read_all(skippable + zstd("b\n"), 100), "b\n");
}

TEST(ByteSource, PlainBytesAreThemselvesWhateverIsReadAtOnce) {
  std::string const text = sample_text(10'000);
  for (std::size_t const piece : {1, 3, 4, 5, 9'999, 100'000})
    EXPECT_EQ(read_all(text, static_cast<std::size_t>(piece)), text);
  EXPECT_EQ(read_all("\x28\xb5\x2f", 2), "\x28\xb5\x2f") << "of the magic number, three bytes";
}

TEST(ByteSource, ZstdThatIsCutOffSaysHowFarItGot) {
  std::string const whole = zstd(sample_text(1 << 20));
  for (std::size_t const length : {std::size_t{5}, whole.size() / 2, whole.size() - 1}) {
    std::string const message = failure_of(whole.substr(0, length));
    EXPECT_NE(
        message.find("the zstd file is cut off: " + std::to_string(length) + " bytes of it were read, and "),
        std::string::npos)
        << message;
  }
}

TEST(ByteSource, ZstdThatIsDamagedSaysHow) {
  std::string damaged = zstd(sample_text(1 << 20));
  for (std::size_t i = 1000; i < 1100; ++i) damaged[i] = static_cast<char>(~damaged[i]);
  EXPECT_NE(failure_of(damaged).find("the zstd file is damaged ("), std::string::npos) << failure_of(damaged);
  std::string const followed = zstd("a\n") + "garbage";
  EXPECT_NE(failure_of(followed).find("the zstd file is damaged ("), std::string::npos)
      << failure_of(followed);
}

TEST(ByteSource, OnlyARegularFileAsItLiesThereCanBeReadAtAnyPlace) {
  MemoryFile const plain("a\n"), packed(zstd("a\n"));
  EXPECT_TRUE(ByteSource(plain.path()).plain_file());
  EXPECT_EQ(ByteSource(plain.path()).file_bytes(), 2u);
  EXPECT_FALSE(ByteSource(packed.path()).plain_file());
  EXPECT_FALSE(ByteSource("/dev/null").plain_file());
}

}  // namespace
}  // namespace tally
