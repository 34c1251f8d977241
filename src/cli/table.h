// Tables for a terminal.
#pragma once

#include <string>
#include <vector>

namespace dragoman {

/// A grid of box-drawing characters around `rows`, the first of which is the header. All rows are
/// of one length. A cell may have several lines; those of the first column stand to the right, the
/// others in the middle.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace dragoman
