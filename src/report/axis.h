// Round numbers for the axes of plots.
#pragma once

#include <string>
#include <vector>

namespace dragoman {

/// Evenly spaced round numbers.
struct Ticks {
  std::vector<double> values;  ///< Ascending; the first is at most `low`, the last at least `high`.
  int decimals = 0;            ///< What it takes to tell them apart.

  /// A number with these decimals; thousands as "12k" where all are whole thousands.
  std::string label(double value) const;
};

/// At most `most` + 1 ticks, multiples of 1, 2 or 5 times a power of ten, around [low, high]; `low`
/// may equal `high`. `most` is at least 2.
Ticks nice_ticks(double low, double high, int most);

}  // namespace dragoman
