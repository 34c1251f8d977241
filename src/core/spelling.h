// What somebody may have meant who misspelt a name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dragoman {

/// Levenshtein's distance: the letters to be replaced, left out or put in.
int edit_distance(std::string_view a, std::string_view b);

/// The name that is spelled most like `word`, of which a third may be wrong; empty where there is
/// none.
std::string similar_name(std::string_view word, const std::vector<std::string>& names);

}  // namespace dragoman
