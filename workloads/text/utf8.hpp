// Whether bytes are UTF-8.
#pragma once

#include <string_view>

namespace tally {

/// Whether `text` is UTF-8 (RFC 3629: no overlong forms, no surrogates). By simdjson, at memory's speed.
bool is_utf8(std::string_view text) noexcept;

}  // namespace tally
