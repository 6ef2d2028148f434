// Files that are there whole or not at all.
#pragma once

#include <filesystem>
#include <string_view>

namespace tally {

/// Puts a file of this content in place of what is at `path`: written beside it, synced, renamed. Throws
/// std::system_error that names the path; then what was there before is untouched.
void write_whole(std::filesystem::path const& path, std::string_view content);

}  // namespace tally
