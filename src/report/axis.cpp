#include "report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dragoman {

std::string Ticks::label(double value) const {
  const bool thousands =
      values.size() > 1 &&
      std::all_of(values.begin(), values.end(), [](double v) { return std::fmod(v, 1000) == 0; });
  if (thousands) return value == 0 ? "0" : fmt::format("{:.0f}k", value / 1000);
  return fmt::format("{:.{}f}", value == 0 ? 0 : value, decimals);  // no "-0"
}

Ticks nice_ticks(double low, double high, int most) {
  if (!(high > low)) {
    const double around = low == 0 ? 1 : std::abs(low) / 10;
    low -= around;
    high += around;
  }
  double power = std::pow(10, std::floor(std::log10((high - low) / most)));
  while (true) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double step = factor * power;
      // A little tolerance, so that 0.3 / 0.1 is 3.
      const double first = std::floor(low / step + 1e-9);
      const double last = std::ceil(high / step - 1e-9);
      if (last - first > most) continue;
      Ticks ticks;
      ticks.decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
      for (double i = first; i <= last; ++i) ticks.values.push_back(i * step);
      return ticks;
    }
    power *= 10;
  }
}

}  // namespace dragoman
