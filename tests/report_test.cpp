// Plots, tables and pages of comparisons: their numbers, their structure and their escaping.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "core/files.h"
#include "eval/bleu.h"
#include "report/axis.h"
#include "report/escape.h"
#include "report/figures.h"
#include "report/lengths.h"
#include "report/page.h"
#include "report/plot.h"
#include "report/scorer.h"
#include "report/table.h"

namespace dragoman {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

int64_t count_of(const std::string& text, const std::string& part) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Axes --------------------------------------------------------------------------------------------

std::vector<std::string> labels(const Ticks& ticks) {
  std::vector<std::string> texts;
  for (const double value : ticks.values) texts.push_back(ticks.label(value));
  return texts;
}

TEST(Ticks, AreRoundNumbersAroundTheValues) {
  EXPECT_THAT(labels(nice_ticks(0, 38.7, 5)), ElementsAre("0", "10", "20", "30", "40"));
  EXPECT_THAT(labels(nice_ticks(2.31, 2.62, 4)), ElementsAre("2.3", "2.4", "2.5", "2.6", "2.7"));
  EXPECT_THAT(labels(nice_ticks(0, 5000, 6)), ElementsAre("0", "1k", "2k", "3k", "4k", "5k"));
  EXPECT_THAT(labels(nice_ticks(0, 3500, 4)), ElementsAre("0", "1k", "2k", "3k", "4k"));
  EXPECT_THAT(labels(nice_ticks(-0.04, 0.05, 2)), ElementsAre("-0.05", "0.00", "0.05"));
}

TEST(Ticks, OneValueHasRoomAroundIt) {
  for (const double value : {0.0, 3.0, -7.5, 1e-6, 1e9}) {
    const Ticks ticks = nice_ticks(value, value, 6);
    EXPECT_LT(ticks.values.front(), value) << value;
    EXPECT_GT(ticks.values.back(), value) << value;
  }
}

TEST(Ticks, ManyRangesAreCoveredByFewTicks) {
  for (double low = -3; low < 3; low += 0.37) {
    for (double range = 1e-4; range < 1e5; range *= 1.7) {
      const Ticks ticks = nice_ticks(low, low + range, 6);
      EXPECT_LE(ticks.values.front(), low + 1e-8 * range);
      EXPECT_GE(ticks.values.back(), low + range - 1e-8 * range);
      EXPECT_THAT(ticks.values, SizeIs(AllOf(Ge(2U), Le(7U))));
      const std::vector<std::string> texts = labels(ticks);
      EXPECT_EQ(std::set(texts.begin(), texts.end()).size(), texts.size()) << texts[0];
    }
  }
}

// Escaping ----------------------------------------------------------------------------------------

TEST(Escape, MarkupCannotBeEnded) {
  EXPECT_EQ(escape_markup("<b title=\"x\">'&\x01"),
            "&lt;b title=&quot;x&quot;&gt;&#39;&amp;\xEF\xBF\xBD");
  EXPECT_EQ(escape_markup("Überfluß"), "Überfluß");
}

TEST(Escape, ScriptsCannotBeEnded) {
  const std::string json = nlohmann::json("</script><!-- <script>").dump();
  const std::string escaped = escape_script(json);
  EXPECT_THAT(escaped, Not(HasSubstr("<")));
  EXPECT_EQ(nlohmann::json::parse(escaped), "</script><!-- <script>");
}

TEST(Escape, LatexMarkdownAndCsv) {
  EXPECT_EQ(
      escape_latex("a_b & 5% {x}\\ #1 ~^$"),
      "a\\_b \\& 5\\% \\{x\\}\\textbackslash{} \\#1 \\textasciitilde{}\\textasciicircum{}\\$");
  EXPECT_EQ(escape_markdown("a|b *c*"), "a\\|b \\*c\\*");
  EXPECT_EQ(escape_csv("plain"), "plain");
  EXPECT_EQ(escape_csv("a,\"b\""), "\"a,\"\"b\"\"\"");
}

// Plots -------------------------------------------------------------------------------------------

Plot small_plot() {
  return {.title = "A & B",
          .x_label = "steps",
          .y_label = "BLEU",
          .from_zero = true,
          .series = {{.label = "one",
                      .style = 0,
                      .points = {{1, 10, ConfidenceInterval{8, 12}, "here"},
                                 {2, 20, ConfidenceInterval{18, 23}, ""}}},
                     {.label = "two", .style = 1, .points = {{1, 5, {}, ""}, {2, 7, {}, ""}}},
                     {.label = "two", .style = 1, .points = {{1, 4, {}, ""}}, .faint = true},
                     {.label = "empty", .style = 2, .points = {}}}};
}

TEST(PlotTest, HasTitleAxesLegendLinesBandsAndMarkers) {
  const std::string svg = draw(small_plot());
  EXPECT_THAT(svg, HasSubstr(">A &amp; B</text>"));
  EXPECT_THAT(svg, HasSubstr(">steps</text>"));
  EXPECT_THAT(svg, HasSubstr(">BLEU</text>"));
  EXPECT_EQ(count_of(svg, "class=\"legend\""), 2);  // faint and empty ones have none
  EXPECT_EQ(count_of(svg, "<polyline class=\"line\""), 2);
  EXPECT_EQ(count_of(svg, "<polyline class=\"faint\""), 1);
  EXPECT_EQ(count_of(svg, "class=\"band\""), 1);
  EXPECT_EQ(count_of(svg, "<title>"), 4);
  EXPECT_THAT(svg, HasSubstr("<title>here</title>"));
  EXPECT_EQ(count_of(svg, "class=\"grid\""), 6);  // 0, 5, 10, 15, 20, 25
}

TEST(PlotTest, AFileOfItsOwnHasSizeColoursAndGround) {
  const std::string svg = draw_file(small_plot());
  EXPECT_THAT(svg, StartsWith("<svg xmlns="));
  EXPECT_THAT(svg, HasSubstr("width=\"480\" height=\"320\">\n<style>"));
  EXPECT_THAT(svg, HasSubstr(".s1 { color: #d55e00; }"));
  EXPECT_THAT(svg, HasSubstr(".plot .title { font-size: 14px; font-weight: 600; fill: #1b1f24; }"));
  EXPECT_THAT(svg, HasSubstr("fill=\"#ffffff\"/>"));
  EXPECT_THAT(svg, Not(HasSubstr("var(")));
  EXPECT_THAT(svg, Not(HasSubstr("light-dark")));
  // Apart from that it is the plot of the page.
  const std::string plot = draw(small_plot());
  EXPECT_THAT(svg, HasSubstr(plot.substr(plot.find("<text class=\"title\""))));
}

TEST(PlotTest, LinesStayInsideTheFrame) {
  const std::string svg = draw(small_plot());
  const std::regex points("points=\"([^\"]*)\"");
  for (std::sregex_iterator match(svg.begin(), svg.end(), points), end; match != end; ++match) {
    const std::string numbers = (*match)[1];
    const std::regex pair("([-0-9.]+),([-0-9.]+)");
    for (std::sregex_iterator p(numbers.begin(), numbers.end(), pair); p != end; ++p) {
      EXPECT_THAT(std::stod((*p)[1]), AllOf(Ge(0.0), Le(480.0)));
      EXPECT_THAT(std::stod((*p)[2]), AllOf(Ge(0.0), Le(320.0)));
    }
  }
}

TEST(PlotTest, MoreSystemsThanColoursDifferInDashesOrMarkers) {
  std::set<std::string> keys;
  for (size_t style = 0; style < 3 * kColours; ++style) keys.insert(draw_key(style));
  EXPECT_EQ(keys.size(), 3 * kColours);
}

TEST(PlotTest, WithoutPointsItSaysSo) {
  EXPECT_THAT(draw({.title = "Nothing"}), HasSubstr("nothing to draw"));
}

// Statistics --------------------------------------------------------------------------------------

TEST(SummaryTest, MeanAndSampleDeviation) {
  const Summary summary = summarize({2, 4, 6});
  EXPECT_DOUBLE_EQ(summary.mean, 4);
  EXPECT_DOUBLE_EQ(*summary.deviation, 2);
  EXPECT_FALSE(summarize({5}).deviation.has_value());
  EXPECT_THROW(summarize({}), Error);
  EXPECT_FALSE(summarize_all({1.0, std::nullopt}).has_value());
  EXPECT_DOUBLE_EQ(summarize_all({1.0, 2.0})->mean, 1.5);
}

TEST(SummaryTest, MiddleOfManyValues) {
  std::vector<double> values;
  for (int i = 1000; i >= 0; --i) values.push_back(i);
  EXPECT_DOUBLE_EQ(middle_95(values).low, 25);
  EXPECT_DOUBLE_EQ(middle_95(values).high, 975);
}

TEST(RunTest, TimeToAScore) {
  MeasuredRun run;
  run.validation_bleu = {{10, 1, 5}, {20, 2, 15}, {30, 3, 12}};
  EXPECT_EQ(run.minutes_to(4), 1);
  EXPECT_EQ(run.minutes_to(12), 2);
  EXPECT_FALSE(run.minutes_to(20).has_value());
}

TEST(Lengths, BinsAreRoundAndNoneIsSparse) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < 900; ++i) lengths.push_back(1 + i % 45);
  lengths.push_back(300);
  const Binning binning = bin_lengths(lengths, 20);
  EXPECT_LE(binning.bins.size(), 9U);
  int64_t sentences = 0;
  for (size_t b = 0; b < binning.bins.size(); ++b) {
    const LengthBin& bin = binning.bins[b];
    EXPECT_GE(bin.sentences, 20);
    EXPECT_EQ(bin.sentences, std::ssize(binning.lines[b]));
    if (b > 0) {
      EXPECT_EQ(bin.shortest, binning.bins[b - 1].longest + 1);
    }
    double total = 0;
    for (const uint32_t line : binning.lines[b]) {
      EXPECT_THAT(lengths[line], AllOf(Ge(bin.shortest), Le(bin.longest)));
      total += static_cast<double>(lengths[line]);
    }
    EXPECT_NEAR(bin.mean_length, total / static_cast<double>(bin.sentences), 1e-9);
    sentences += bin.sentences;
  }
  EXPECT_EQ(sentences, 901);
  EXPECT_EQ(binning.bins[0].longest, 5);  // not 7: a round width
  EXPECT_EQ(binning.bins.back().longest, 300);
}

TEST(Lengths, FewSentencesAreOneBin) {
  EXPECT_THAT(bin_lengths({3, 5, 40}, 20).bins, SizeIs(1));
  EXPECT_THAT(bin_lengths({}, 20).bins, IsEmpty());
}

// Results -----------------------------------------------------------------------------------------

std::string words(int count, const std::string& first) {
  std::string text = first;
  for (int i = 1; i < count; ++i) text += " word" + std::to_string(i);
  return text;
}

// Two systems, two seeds. The first goes wrong after the fifth word; the second copies all, but for
// the last word with its second seed.
Measurements example() {
  Measurements m{.title = "<Two> & \"systems\"",
                 .source_language = "en",
                 .target_language = "de",
                 .tests = {{"test", {}, {}}},
                 .systems = {}};
  std::vector<TestOutput> outputs(4);
  for (int line = 0; line < 120; ++line) {
    const int length = 4 + line % 30;
    const std::string text = words(length, "</script>" + std::to_string(line));
    m.tests[0].source.push_back(text);
    m.tests[0].reference.push_back(text);
    for (int seed = 0; seed < 2; ++seed) {
      outputs[static_cast<size_t>(seed)].hypotheses.push_back(
          words(std::min(length, 6 - seed), "</script>" + std::to_string(line)) +
          (length > 6 ? " xx" : ""));
    }
    outputs[2].hypotheses.push_back(text);
    outputs[3].hypotheses.push_back(text.substr(0, text.rfind(' ')));
  }
  for (int s = 0; s < 2; ++s) {
    MeasuredSystem system{.name = s == 0 ? "fixed_vector" : "attention", .description = "gru"};
    system.parameters = 12345678;
    for (int seed = 0; seed < 2; ++seed) {
      TestOutput& output = outputs[static_cast<size_t>(2 * s + seed)];
      output.seconds = 2;
      output.target_tokens = 1000;
      MeasuredRun run{.seed = seed + 1, .directory = "runs/x", .steps = 20, .minutes = 4};
      run.training_loss = {{10, 2, 5}, {20, 4, 4.0 + seed}};
      run.validation_loss = {{20, 4, 3}};
      run.validation_bleu = {{10, 2, 10.0 * s}, {20, 4, 20.0 + 10 * s}};
      run.best_validation_bleu = 20.0 + 10 * s;
      run.minutes_to_best = 4;
      if (s == 1) run.target_tokens_per_second = 12345.6;
      run.outputs = {output};
      system.runs.push_back(run);
    }
    system.attention = {{.line = 3,
                         .source = {"▁a", "</s>"},
                         .target = {"▁b", "</s>"},
                         .views = {{"cross", 0, {{{0.25, 0.75}, {1, 0}}}}}}};
    m.systems.push_back(std::move(system));
  }
  return m;
}

TEST(ResultsTest, ScoresAreThoseOfTheMetric) {
  const Results results = score(example(), 1, 200);
  ASSERT_THAT(results.tests, SizeIs(1));
  const MetricResults& bleu = results.tests[0].metrics[0];
  EXPECT_EQ(bleu.name, "BLEU");
  const Measurements& m = results.measured;
  const std::vector<std::vector<std::string>> references = {m.tests[0].reference};
  for (size_t s = 0; s < 2; ++s) {
    for (size_t r = 0; r < 2; ++r) {
      EXPECT_NEAR(bleu.systems[s].score.values[r],
                  corpus_bleu(m.systems[s].runs[r].outputs[0].hypotheses, references).value, 1e-9);
    }
    EXPECT_LE(bleu.systems[s].interval.low, bleu.systems[s].score.mean);
    EXPECT_GE(bleu.systems[s].interval.high, bleu.systems[s].score.mean);
  }
  EXPECT_FALSE(bleu.systems[0].p_value.has_value());
  EXPECT_LT(*bleu.systems[1].p_value, 0.01);
  EXPECT_NEAR(*bleu.systems[1].difference, bleu.systems[1].score.mean - bleu.systems[0].score.mean,
              1e-9);
  EXPECT_EQ(results.measured.target_bleu, 27);  // nine tenths of 30
}

TEST(ResultsTest, EqualSystemsAreNotSignificantlyDifferent) {
  Measurements m = example();
  m.systems[1] = m.systems[0];
  const Results results = score(std::move(m), 1, 200);
  EXPECT_EQ(*results.tests[0].metrics[0].systems[1].p_value, 1);
  EXPECT_EQ(*results.tests[0].lengths.systems[1].beyond_baseline, 0);
}

TEST(ResultsTest, TheFallWithLengthIsMeasured) {
  const Results results = score(example(), 1, 200);
  const LengthResult& lengths = results.tests[0].lengths;
  const LengthCurve& fixed = lengths.systems[0];
  const LengthCurve& attention = lengths.systems[1];
  ASSERT_GE(lengths.bins.size(), 2U);
  EXPECT_EQ(fixed.bleu.size(), lengths.bins.size());
  EXPECT_LT(fixed.change, -20);
  EXPECT_LT(fixed.change_interval.high, -10);
  EXPECT_FALSE(fixed.beyond_baseline.has_value());
  EXPECT_NEAR(*fixed.kept, 100 * fixed.long_bleu / fixed.short_bleu, 1e-9);
  EXPECT_LT(fixed.kept_interval->low, *fixed.kept);
  EXPECT_GT(fixed.kept_interval->high, *fixed.kept);
  EXPECT_NEAR(*attention.beyond_baseline, *attention.kept - *fixed.kept, 1e-9);
  EXPECT_GT(attention.beyond_baseline_interval->low, 10);
}

TEST(ResultsTest, ThreadsAndRepetitionChangeNothing) {
  const std::string one = results_json(score(example(), 1, 100));
  EXPECT_EQ(one, results_json(score(example(), 3, 100)));
}

TEST(ResultsTest, JsonHoldsWhatTheDocumentSays) {
  const auto json = nlohmann::json::parse(results_json(score(example(), 1, 100)));
  EXPECT_EQ(json["format"], "dragoman comparison");
  EXPECT_EQ(json["baseline"], "fixed_vector");
  EXPECT_EQ(json["resamples"], 100);
  EXPECT_EQ(json["systems"][1]["runs"][1]["training_loss"]["value"], (std::vector{5.0, 5.0}));
  EXPECT_TRUE(json["systems"][0]["runs"][0]["peak_bytes"].is_null());
  EXPECT_EQ(json["systems"][0]["runs"][0]["minutes_to_target"], nullptr);
  EXPECT_EQ(json["systems"][1]["runs"][0]["minutes_to_target"], 4);
  const auto& metrics = json["tests"][0]["metrics"];
  ASSERT_EQ(metrics.size(), 3);
  EXPECT_EQ(metrics[2]["name"], "TER");
  EXPECT_TRUE(metrics[2]["lower_is_better"].get<bool>());
  EXPECT_THAT(metrics[0]["signature"].get<std::string>(), HasSubstr("tok:13a"));
}

// Tables ------------------------------------------------------------------------------------------

const Cell& cell(const Table& table, size_t row, const std::string& key) {
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (table.columns[c].key == key) return table.rows[row][c];
  }
  throw std::out_of_range(key);
}

TEST(TableTest, ShowsMeansDeviationsAndWhatIsMissing) {
  const Table table = make_table(score(example(), 1, 100));
  EXPECT_EQ(cell_text(cell(table, 0, "parameters")), "12.35");
  EXPECT_EQ(cell_text(cell(table, 0, "minutes_to_target")), "not reached");
  EXPECT_EQ(cell_text(cell(table, 1, "minutes_to_target")), "4.0 ± 0.0");
  EXPECT_EQ(cell_text(cell(table, 1, "target_tokens_per_second")), "12 346 ± 0");
  EXPECT_EQ(cell_text(cell(table, 0, "target_tokens_per_second")), "–");
  EXPECT_EQ(cell_text(cell(table, 0, "sentences_per_second")), "60 ± 0");
  EXPECT_EQ(cell_text(cell(table, 0, "test.BLEU.difference")), "baseline");
  EXPECT_TRUE(cell(table, 1, "test.BLEU").best);
  EXPECT_TRUE(cell(table, 1, "test.TER").best);  // where less is better
  EXPECT_EQ(cell(table, 1, "test.BLEU").mark, "*");
  EXPECT_THAT(table.notes, Contains(HasSubstr("(100 samples, p < 0.05)")));
}

TEST(TableTest, EveryLanguageHasARowForEachSystem) {
  const Table table = make_table(score(example(), 1, 100));
  const std::string markdown = to_markdown(table);
  EXPECT_EQ(count_of(markdown.substr(0, markdown.find('\n')), "|"), std::ssize(table.columns) + 1);
  EXPECT_THAT(markdown, HasSubstr("| fixed\\_vector |"));
  const std::string latex = to_latex(table);
  EXPECT_THAT(latex, HasSubstr("\nfixed\\_vector & $12.35$ & "));
  EXPECT_THAT(latex, HasSubstr("\\toprule"));
  EXPECT_THAT(latex, HasSubstr("$\\Delta$ BLEU"));
  EXPECT_THAT(latex, HasSubstr("TER $\\downarrow$"));
  EXPECT_THAT(latex, HasSubstr("$12\\,346 \\pm 0$"));
  EXPECT_THAT(latex, Not(HasSubstr("–")));
  const std::string csv = to_csv(table);
  const std::string head = csv.substr(0, csv.find('\n'));
  EXPECT_EQ(head.substr(0, 39), "system,parameters,test.BLEU,test.BLEU.s");
  const size_t second = csv.find('\n') + 1;
  EXPECT_EQ(count_of(head, ","),
            count_of(csv.substr(second, csv.find('\n', second) - second), ","));
  const std::string html = to_html(part_of(table, Column::Part::kQuality));
  EXPECT_EQ(count_of(html, "<tr>"), 2 + 2);
  EXPECT_THAT(html, Not(HasSubstr("peak")));
}

// The page ----------------------------------------------------------------------------------------

TEST(PageTest, StandsAloneAndEscapesWhatItShows) {
  const std::string page = make_page(score(example(), 1, 100));
  EXPECT_THAT(page, HasSubstr("<title>&lt;Two&gt; &amp; &quot;systems&quot;</title>"));
  EXPECT_EQ(count_of(page, "</script>"), 2);  // the data's and the program's own
  EXPECT_THAT(page, Not(HasSubstr("{{")));
  EXPECT_THAT(page, Not(HasSubstr("src=\"http")));
  EXPECT_THAT(page, Not(HasSubstr("@import")));
  EXPECT_EQ(count_of(page, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\""), 1 + 6);
  const std::string open = "<script id=\"data\" type=\"application/json\">";
  const size_t begin = page.find(open) + open.size();
  const auto data =
      nlohmann::json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  EXPECT_EQ(data["systems"][0]["attention"][0]["views"][0]["heads"][0][0], (std::vector{250, 750}));
  EXPECT_EQ(data["tests"][0]["outputs"][1][7], example().tests[0].source[7]);
  EXPECT_EQ(data["tests"][0]["metric"], "chrF2");
  EXPECT_EQ(data["tests"][0]["scores"][1][7], 100);
}

// Five sentences of one system.
Measurements few_sentences() {
  Measurements m = example();
  m.systems.resize(1);
  m.systems[0].runs.resize(1);
  m.systems[0].attention.clear();
  m.tests[0].source.resize(5);
  m.tests[0].reference.resize(5);
  m.systems[0].runs[0].outputs[0].hypotheses.resize(5);
  return m;
}

TEST(PageTest, OneSystemAndFewSentencesHaveAPageToo) {
  const std::string page = make_page(score(few_sentences(), 1, 50));
  EXPECT_THAT(page, HasSubstr("too few, or too much alike"));
}

TEST(PageTest, CurvesOfLengthsAreFilesToo) {
  const std::string directory = testing::TempDir() + "dragoman-lengths";
  const std::filesystem::path figure = directory + "/length-test.svg";
  std::filesystem::remove_all(directory);
  write_report(score(few_sentences(), 1, 50), directory);
  EXPECT_FALSE(std::filesystem::exists(figure)) << "there is no curve";
  const Results results = score(example(), 1, 50);
  write_report(results, directory);
  EXPECT_EQ(read_file(figure), draw_file(length_plot(results, 0)));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace dragoman
