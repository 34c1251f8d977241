#include "report/page.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/files.h"
#include "report/escape.h"
#include "report/figures.h"
#include "report/page_files.h"
#include "report/table.h"

namespace dragoman {
namespace {

using Json = nlohmann::ordered_json;

std::string figure(const Plot& plot, const std::string& name) {
  return fmt::format("<figure data-name=\"{}\">{}</figure>\n", escape_markup(name), draw(plot));
}

std::string signed_number(double value) {
  return fmt::format("{}{:.1f}", value < 0 ? "−" : "+", std::abs(value));
}

// A cell with a value as `text` writes it.
template <class Text>
std::string with_interval(const std::optional<double>& value,
                          const std::optional<ConfidenceInterval>& interval, Text text) {
  if (!value) return "<td class=\"word\">–</td>";
  return fmt::format("<td><b>{}</b><br><small>{} to {}</small></td>", text(*value),
                     text(interval->low), text(interval->high));
}

std::string percent(double value) { return fmt::format("{:.0f}%", value); }

std::string words_of(const LengthBin& bin) {
  return fmt::format("{}–{} words<br><small>{} sentences</small>", bin.shortest, bin.longest,
                     bin.sentences);
}

// How much each system loses from short sentences to long ones.
std::string length_table(const Results& results, size_t test) {
  const Measurements& m = results.measured;
  const LengthResult& lengths = results.tests[test].lengths;
  const bool several = m.systems.size() > 1;
  std::string text = fmt::format(
      "<div class=\"wide\"><table "
      "class=\"results\"><thead><tr><th>system</th><th>{}</th><th>{}</th>"
      "<th>kept</th>{}</tr></thead><tbody>\n",
      words_of(lengths.short_sentences), words_of(lengths.long_sentences),
      several ? "<th>kept beyond<br>the baseline</th>" : "");
  for (size_t s = 0; s < m.systems.size(); ++s) {
    const LengthCurve& curve = lengths.systems[s];
    text += fmt::format("<tr><th scope=\"row\">{}{}</th><td>{:.1f}</td><td>{:.1f}</td>{}",
                        draw_key(s), escape_markup(m.systems[s].name), curve.short_bleu,
                        curve.long_bleu, with_interval(curve.kept, curve.kept_interval, percent));
    if (s == m.baseline && several) {
      text += "<td class=\"word\">baseline</td>";
    } else if (several) {
      text += with_interval(curve.beyond_baseline, curve.beyond_baseline_interval, signed_number);
    }
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
}

std::string lengths_section(const Results& results) {
  std::string text;
  for (size_t t = 0; t < results.tests.size(); ++t) {
    const std::string name = escape_markup(results.measured.tests[t].name);
    const LengthResult& lengths = results.tests[t].lengths;
    if (lengths.systems.empty()) {
      text += fmt::format(
          "<p>{}: its sentences are too few, or too much alike in length, for a "
          "curve.</p>\n",
          name);
      continue;
    }
    text += fmt::format("<div>{}{}</div>\n",
                        figure(length_plot(results, t), "length-" + results.measured.tests[t].name),
                        length_table(results, t));
  }
  return text;
}

std::string curves_section(const Measurements& measured) {
  std::string text;
  int number = 0;
  for (const Plot& plot : learning_curves(measured))
    text += figure(plot, fmt::format("curve-{}", ++number));
  return text;
}

std::string notes_section(const Table& table) {
  std::string text;
  for (const std::string& note : table.notes) text += "<li>" + escape_markup(note) + "</li>\n";
  return text;
}

// Weights in thousandths, which is as much as the eye and the tooltip can tell.
Json heads_json(const AttentionView& view) {
  Json heads = Json::array();
  for (const auto& head : view.heads) {
    Json rows = Json::array();
    for (const std::vector<double>& row : head) {
      Json& weights = rows.emplace_back(Json::array());
      for (const double weight : row) weights.push_back(std::lround(1000 * weight));
    }
    heads.push_back(std::move(rows));
  }
  return heads;
}

Json system_json(const MeasuredSystem& system) {
  Json sentences = Json::array();
  for (const AttentionSentence& sentence : system.attention) {
    Json views = Json::array();
    for (const AttentionView& view : sentence.views)
      views.push_back({{"kind", view.kind}, {"layer", view.layer}, {"heads", heads_json(view)}});
    sentences.push_back({{"line", sentence.line},
                         {"source", sentence.source},
                         {"target", sentence.target},
                         {"views", std::move(views)}});
  }
  return {{"name", system.name}, {"attention", std::move(sentences)}};
}

Json tests_json(const Results& results) {
  const Measurements& m = results.measured;
  Json tests = Json::array();
  for (size_t t = 0; t < m.tests.size(); ++t) {
    Json outputs = Json::array(), scores = Json::array();
    for (const MeasuredSystem& system : m.systems)
      outputs.push_back(system.runs[0].outputs[t].hypotheses);
    for (const std::vector<double>& system : results.tests[t].sentences) {
      Json& rounded = scores.emplace_back(Json::array());
      for (const double score : system) rounded.push_back(std::round(10 * score) / 10);
    }
    tests.push_back({{"name", m.tests[t].name},
                     {"metric", results.tests[t].sentence_metric},
                     {"source", m.tests[t].source},
                     {"reference", m.tests[t].reference},
                     {"outputs", std::move(outputs)},
                     {"scores", std::move(scores)}});
  }
  return tests;
}

std::string data_json(const Results& results) {
  Json systems = Json::array();
  for (const MeasuredSystem& system : results.measured.systems)
    systems.push_back(system_json(system));
  return escape_script(Json{{"systems", systems}, {"tests", tests_json(results)}}.dump());
}

std::string systems_list(const Measurements& m) {
  std::string text;
  for (size_t s = 0; s < m.systems.size(); ++s) {
    const MeasuredSystem& system = m.systems[s];
    text +=
        fmt::format("<li>{}<b>{}</b>{} {}; {} {}</li>\n", draw_key(s), escape_markup(system.name),
                    s == m.baseline && m.systems.size() > 1 ? " (baseline)" : "",
                    escape_markup(system.description), system.runs.size(),
                    system.runs.size() == 1 ? "run" : "runs");
  }
  return text;
}

// Puts values into the places {{name}} of a template.
std::string fill(std::string_view page,
                 const std::vector<std::pair<std::string_view, std::string>>& values) {
  std::string text;
  while (true) {
    const size_t begin = page.find("{{");
    text += page.substr(0, begin);
    if (begin == std::string_view::npos) return text;
    const size_t end = page.find("}}", begin);
    const std::string_view name = page.substr(begin + 2, end - begin - 2);
    bool known = false;
    for (const auto& [key, value] : values) {
      if (key != name) continue;
      text += value;
      known = true;
    }
    check(known, "page.html: there is no value for {{{{{}}}}}", name);
    page.remove_prefix(end + 2);
  }
}

}  // namespace

std::string make_page(const Results& results) {
  const Measurements& m = results.measured;
  const Table table = make_table(results);
  std::string tests;
  for (const TestCorpus& test : m.tests) {
    tests += fmt::format("{}{} ({} sentences)", tests.empty() ? "" : ", ", escape_markup(test.name),
                         test.source.size());
  }
  return fill(kPageHtml,
              {{"title", escape_markup(m.title)},
               {"css", std::string(kPlotCss) + std::string(kPageCss)},
               {"languages", escape_markup(m.source_language + " → " + m.target_language)},
               {"tests", tests},
               {"systems", systems_list(m)},
               {"quality", to_html(part_of(table, Column::Part::kQuality))},
               {"cost", to_html(part_of(table, Column::Part::kCost))},
               {"notes", notes_section(table)},
               {"lengths", lengths_section(results)},
               {"curves", curves_section(m)},
               {"version", DRAGOMAN_VERSION},
               {"data", data_json(results)},
               {"js", std::string(kPageJs)}});
}

void write_report(const Results& results, const std::string& directory) {
  const std::filesystem::path path = directory;
  std::error_code error;
  std::filesystem::create_directories(path, error);
  check(!error, "{}: the directory cannot be made: {}", directory, error.message());
  const Table table = make_table(results);
  write_atomically(path / "index.html", make_page(results));
  write_atomically(path / "results.json", results_json(results));
  write_atomically(path / "results.csv", to_csv(table));
  write_atomically(path / "table.md", to_markdown(table));
  write_atomically(path / "table.tex", to_latex(table));
  for (size_t t = 0; t < results.tests.size(); ++t) {
    if (results.tests[t].lengths.systems.empty()) continue;
    write_atomically(
        path / fmt::format("length-{}.svg", file_name_for(results.measured.tests[t].name)),
        draw_file(length_plot(results, t)));
  }
}

}  // namespace dragoman
