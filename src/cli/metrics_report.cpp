#include "cli/metrics_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/table.h"

namespace dragoman {
namespace {

constexpr double kSignificant = 0.05;

double rounded(double value, int width) { return std::stod(fmt::format("{:.{}f}", value, width)); }

nlohmann::ordered_json score_json(const Score& score, const Signature& signature, int width) {
  nlohmann::ordered_json json{{"name", score.name},
                              {"score", rounded(score.value, width)},
                              {"signature", to_string(signature)}};
  if (score.interval) {
    json["confidence_mean"] = rounded(score.interval->mean, width);
    json["confidence_var"] = rounded(score.interval->half_width, width);
    json["confidence"] = fmt::format("μ = {:.{}f} ± {:.{}f}", score.interval->mean, width,
                                     score.interval->half_width, width);
  }
  if (!score.details.empty()) json["verbose_score"] = score.details;
  for (const auto& [name, value] : signature) json[name] = value;
  return json;
}

/// Moves lines to the right so that their first equals signs stand below each other.
void align(std::vector<std::string>& lines) {
  size_t longest = 0;
  for (const std::string& line : lines) longest = std::max(longest, line.find('='));
  for (std::string& line : lines) line.insert(0, longest - line.find('='), ' ');
}

std::string table_cell(const SystemResult& result, bool paired, int width) {
  std::string cell = result.score.number(width);
  if (result.score.interval) {
    cell += fmt::format(" ({:.{}f} ± {:.{}f})", result.score.interval->mean, width,
                        result.score.interval->half_width, width);
  }
  if (paired && result.p_value) {
    cell += fmt::format("\n(p = {:.4f}){}", *result.p_value,
                        *result.p_value <= kSignificant ? "*" : "");
  }
  return cell;
}

std::string explain(const Sampling& sampling) {
  std::string text;
  if (sampling.test == PairedTest::kBootstrap)
    text = fmt::format("Paired bootstrap resampling, {} resamples", sampling.resamples);
  if (sampling.test == PairedTest::kRandomization)
    text = fmt::format("Paired approximate randomisation, {} trials", sampling.trials);
  if (!text.empty()) {
    text += fmt::format(
        ", seed {}:\n"
        " - Each system is compared with the first one, the baseline. p is about the probability "
        "of a\n   difference this large or larger by chance, if the two were equally good; * marks "
        "p <= {}.\n   That a difference is significant does not mean that it is large.\n",
        sampling.seed, kSignificant);
  }
  if (sampling.resamples > 0) {
    text +=
        " - In brackets: the mean of the score over bootstrap resamples, and half of the interval "
        "that\n   holds 95 % of them.\n";
  }
  return text.empty() ? text : text + '\n';
}

nlohmann::ordered_json systems_json(const std::vector<std::string>& names,
                                    const std::vector<MetricResult>& results,
                                    const Sampling& sampling, int width) {
  const auto or_null = [](bool has, double value) -> nlohmann::ordered_json {
    return has ? nlohmann::ordered_json(value) : nullptr;
  };
  auto json = nlohmann::ordered_json::array();
  for (size_t i = 0; i < names.size(); ++i) {
    nlohmann::ordered_json row{{"system", names[i]}};
    for (const MetricResult& result : results) {
      const auto& [score, p_value] = result.systems[i];
      if (sampling.test == PairedTest::kNone) {
        row[score.name] = score.text(width);
        continue;
      }
      const Interval interval = score.interval.value_or(Interval{});
      row[score.name] = {{"score", score.value},
                         {"p_value", or_null(p_value.has_value(), p_value.value_or(0))},
                         {"mean", or_null(score.interval.has_value(), interval.mean)},
                         {"ci", or_null(score.interval.has_value(), interval.half_width)}};
    }
    json.push_back(std::move(row));
  }
  return json;
}

}  // namespace

std::string system_report(const std::vector<MetricResult>& results, const ReportFormat& format) {
  std::vector<std::string> texts;
  for (const auto& [signature, systems] : results) {
    const Score& score = systems.front().score;
    if (format.score_only) {
      texts.push_back(score.text(format.width));
    } else if (format.json) {
      texts.push_back(score_json(score, signature, format.width).dump(1));
    } else {
      texts.push_back(score.line(format.width, signature));
    }
  }
  if (format.json && texts.size() > 1) return fmt::format("[\n{}\n]\n", fmt::join(texts, ",\n"));
  if (!format.json && !format.score_only) align(texts);
  return fmt::format("{}\n", fmt::join(texts, "\n"));
}

std::string sentence_line(const Score& score, const Signature& signature,
                          const ReportFormat& format) {
  if (format.score_only) return score.text(format.width) + '\n';
  if (format.json) return score_json(score, signature, format.width).dump() + '\n';
  return score.line(format.width, signature) + '\n';
}

std::string systems_report(const std::vector<std::string>& names,
                           const std::vector<MetricResult>& results, const Sampling& sampling,
                           const ReportFormat& format) {
  if (format.json) return systems_json(names, results, sampling, format.width).dump(4) + '\n';
  std::vector<std::vector<std::string>> rows{{"System"}};
  for (const std::string& name : names) rows.push_back({name});
  std::string signatures;
  for (const MetricResult& result : results) {
    const std::string& name = result.systems.front().score.name;
    rows[0].push_back(name + (sampling.resamples > 0 ? " (μ ± 95% CI)" : ""));
    for (size_t i = 0; i < names.size(); ++i)
      rows[i + 1].push_back(
          table_cell(result.systems[i], sampling.test != PairedTest::kNone, format.width));
    signatures += fmt::format(" - {:<10} {}\n", name, to_string(result.signature));
  }
  return format_table(rows) + '\n' + explain(sampling) +
         "-----------------\nMetric signatures\n-----------------\n" + signatures;
}

}  // namespace dragoman
