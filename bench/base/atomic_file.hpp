// Files that are there whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace tally {

/// Puts a file of this content at `path`: written beside it, synced, renamed. Symbolic links are followed,
/// and stay. What is no regular file (a device, a pipe) is written through and never replaced; /dev/stdout
/// and /dev/fd/N are this process's own descriptors. Throws std::system_error that names the path; a regular
/// file that was there before is then untouched.
void write_whole(std::filesystem::path const& path, std::string_view content);

/// Writes all of `content` to an open file. Throws std::system_error that says `what` failed.
void write_all(int fd, std::string_view content, std::string const& what);

/// Where write_whole() puts what is written to `path`: absolute, with symbolic links followed, also to a file
/// that is not there yet. Throws std::system_error.
std::filesystem::path output_path(std::filesystem::path const& path);

/// Throws UsageError unless a file can be made at `path` and written: its directory is there, and it is no
/// directory or device itself. Leaves nothing behind. `flag` is the option that named it.
void check_output_file(std::string_view flag, std::filesystem::path const& path);

}  // namespace tally
