#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dragoman {
namespace {

constexpr double kSignificant = 0.05;

Cell number(double value, int decimals) { return {.value = value, .decimals = decimals}; }

Cell number(const Summary& summary, int decimals, double unit = 1) {
  Cell cell = number(summary.mean / unit, decimals);
  if (summary.deviation) cell.deviation = *summary.deviation / unit;
  return cell;
}

Cell number(const std::optional<Summary>& summary, int decimals, double unit, const char* absent) {
  return summary ? number(*summary, decimals, unit) : Cell{.word = absent};
}

// Adds columns, each with a cell for every system.
class Builder {
 public:
  explicit Builder(const Results& results) : results_(results), m_(results.measured) {
    add({"system", "", "system", ""}, [&](size_t s) { return Cell{.word = m_.systems[s].name}; });
    add({"parameters", "", "parameters, M", "millions of trained numbers"},
        [&](size_t s) { return number(static_cast<double>(m_.systems[s].parameters) / 1e6, 2); });
  }

  void add_metric(const std::string& test, const MetricResults& metric) {
    const std::string key = test + "." + metric.name;
    const auto better = [&](const SystemScore& a, const SystemScore& b) {
      return metric.lower_is_better ? a.score.mean > b.score.mean : a.score.mean < b.score.mean;
    };
    const auto best = std::max_element(metric.systems.begin(), metric.systems.end(), better);
    add({key, test, metric.name + (metric.lower_is_better ? " ↓" : ""),
         metric.name + ", mean and standard deviation over seeds"},
        [&](size_t s) {
          Cell cell = number(metric.systems[s].score, 1);
          cell.best = metric.systems.size() > 1 && &metric.systems[s] == &*best;
          const std::optional<double> p = metric.systems[s].p_value;
          if (p && *p < kSignificant) cell.mark = "*";
          return cell;
        });
  }

  void add_difference(const std::string& test, const MetricResults& metric) {
    const std::string key = test + "." + metric.name;
    add({key + ".difference", test, "Δ " + metric.name, "difference from the baseline"},
        [&](size_t s) {
          const SystemScore& result = metric.systems[s];
          return result.difference ? number(*result.difference, 1) : Cell{.word = "baseline"};
        });
    add({key + ".p", test, "p", "paired bootstrap: the probability of such a difference by chance"},
        [&](size_t s) {
          const SystemScore& result = metric.systems[s];
          return result.p_value ? number(*result.p_value, 3) : Cell{.word = "–"};
        });
  }

  void add_training() {
    add_run("minutes", "training", "min", "minutes trained, validations included", 1, 1, "–",
            [](const MeasuredRun& run) { return std::optional(run.minutes); });
    add_run("minutes_to_best", "training", "min to best", "minutes to the best validation", 1, 1,
            "–", [](const MeasuredRun& run) { return run.minutes_to_best; });
    const double target = m_.target_bleu;
    add_run("minutes_to_target", "training", fmt::format("min to BLEU {:g}", target),
            "minutes until validation BLEU was as high in every run", 1, 1, "not reached",
            [target](const MeasuredRun& run) { return run.minutes_to(target); });
    add_run("target_tokens_per_second", "training", "tokens/s", "target tokens a second", 0, 1, "–",
            [](const MeasuredRun& run) { return run.target_tokens_per_second; });
    add_run("peak_mebibytes", "training", "peak MiB", "the most memory of the process", 0,
            1024 * 1024, "–", [](const MeasuredRun& run) { return run.peak_bytes; });
  }

  void add_speed() {
    const TestResult& test = results_.tests[0];
    add({"sentences_per_second", "translating", "sentences/s", "of the first test corpus"},
        [&](size_t s) { return number(test.sentences_per_second[s], 0); });
    add({"tokens_per_second", "translating", "tokens/s", "target pieces a second"},
        [&](size_t s) { return number(test.tokens_per_second[s], 0); });
  }

  /// Columns that are added from here on are of `part`.
  void begin(Column::Part part) { part_ = part; }

  Table take() { return std::move(table_); }

 private:
  template <class F>
  void add(Column column, F cell) {
    column.part = part_;
    table_.columns.push_back(std::move(column));
    table_.rows.resize(m_.systems.size());
    for (size_t s = 0; s < m_.systems.size(); ++s) table_.rows[s].push_back(cell(s));
  }

  template <class F>
  void add_run(const char* key, const char* group, std::string title, const char* help,
               int decimals, double unit, const char* absent, F value) {
    add({key, group, std::move(title), help}, [&](size_t s) {
      std::vector<std::optional<double>> values;
      for (const MeasuredRun& run : m_.systems[s].runs) values.push_back(value(run));
      return number(summarize_all(values), decimals, unit, absent);
    });
  }

  const Results& results_;
  const Measurements& m_;
  Column::Part part_ = Column::Part::kBoth;
  Table table_;
};

// Digits with a separator before every third of them, from five on.
std::string grouped_digits(const std::string& number, const std::string& separator) {
  const size_t end = std::min(number.find('.'), number.size());
  const size_t begin = number[0] == '-' ? 1 : 0;
  std::string text;
  for (size_t i = 0; i < number.size(); ++i) {
    if (end - begin >= 5 && i > begin && i < end && (end - i) % 3 == 0) text += separator;
    text += number[i];
  }
  return text;
}

}  // namespace

Table make_table(const Results& results) {
  const Measurements& m = results.measured;
  Builder builder(results);
  builder.begin(Column::Part::kQuality);
  for (size_t t = 0; t < m.tests.size(); ++t) {
    const std::vector<MetricResults>& metrics = results.tests[t].metrics;
    for (size_t i = 0; i < metrics.size(); ++i) {
      builder.add_metric(m.tests[t].name, metrics[i]);
      if (i == 0 && m.systems.size() > 1) builder.add_difference(m.tests[t].name, metrics[i]);
    }
  }
  builder.begin(Column::Part::kCost);
  builder.add_training();
  builder.add_speed();
  Table table = builder.take();
  size_t most = 0;
  for (const MeasuredSystem& system : m.systems) most = std::max(most, system.runs.size());
  if (most > 1) table.notes.emplace_back("Means over seeds, ± their standard deviation.");
  if (m.systems.size() > 1) {
    table.notes.push_back(fmt::format(
        "* differs from {} by a paired bootstrap over the test sentences ({} samples, p < {}).",
        m.systems[m.baseline].name, results.resamples, kSignificant));
  }
  for (const MetricResults& metric : results.tests[0].metrics)
    table.notes.push_back(metric.name + ": " + metric.signature);
  return table;
}

Table part_of(const Table& table, Column::Part part) {
  Table result;
  result.rows.resize(table.rows.size());
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (table.columns[c].part != part && table.columns[c].part != Column::Part::kBoth) continue;
    result.columns.push_back(table.columns[c]);
    for (size_t r = 0; r < table.rows.size(); ++r) result.rows[r].push_back(table.rows[r][c]);
  }
  return result;
}

std::string cell_text(const Cell& cell, const std::string& plus_minus,
                      const std::string& separator) {
  if (!cell.value) return cell.word;
  const auto text = [&](double value) {
    std::string digits = fmt::format("{:.{}f}", value, cell.decimals);
    if (digits.find_first_of("123456789") == std::string::npos && digits[0] == '-')
      digits.erase(0, 1);
    return grouped_digits(digits, separator);
  };
  return text(*cell.value) + (cell.deviation ? plus_minus + text(*cell.deviation) : "") + cell.mark;
}

}  // namespace dragoman
