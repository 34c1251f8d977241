"""Opens the page of a real study in a headless browser and uses it as a reader would.

    python3 tests/browser_test.py DRAGOMAN [--page INDEX.HTML] [--screenshots DIRECTORY]

Without --page it makes configs/studies/tiny.yaml first. Exit code 77, for skipped, where Chromium,
its driver or Selenium is missing: `scripts/test.sh browser` installs them (Debian: chromium
chromium-driver python3-selenium).
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SKIPPED = 77
PROJECT = pathlib.Path(__file__).resolve().parents[1]
WIDE, NARROW = (1280, 900), (390, 844)

try:
    from selenium import webdriver
    from selenium.webdriver import ActionChains
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select
except ImportError:
    print("skipped: no python3-selenium")
    sys.exit(SKIPPED)


def start_browser():
    """Headless Chromium, keeping what the page writes to its console."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


class PageTest(unittest.TestCase):
    """What a reader sees and does. The page is PageTest.page, the browser PageTest.browser."""

    page = None
    browser = None
    screenshots = None

    def setUp(self):
        self.resize(WIDE)
        self.emulate("light")
        self.browser.get(self.page.as_uri())

    def tearDown(self):
        errors = [line["message"] for line in self.browser.get_log("browser")]
        self.assertEqual(errors, [], "the console must stay empty")

    def resize(self, size):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == NARROW})

    def emulate(self, scheme, media=""):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "media": media, "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def all(self, selector, within=None):
        return (within or self.browser).find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector, within=None):
        return (within or self.browser).find_element(By.CSS_SELECTOR, selector)

    def script(self, text, *arguments):
        return self.browser.execute_script(text, *arguments)

    def panel(self, name):
        return next(p for p in self.all(".panel") if self.one("h3", p).text == name)

    def point_at(self, element):
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        # Scrolling hides the tooltip, in the frame that follows.
        self.browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")
        ActionChains(self.browser).move_to_element(element).perform()

    def test_needs_no_network(self):
        addresses = self.script("return performance.getEntriesByType('resource').map((e) => e.name)")
        self.assertEqual([a for a in addresses if not a.startswith("data:")], [])

    def test_the_table_has_a_row_for_each_system(self):
        rows = self.all("#results .wide:first-of-type tbody tr")
        self.assertEqual([self.one("th", row).text for row in rows],
                         ["none", "additive", "transformer", "hybrid"])
        titles = [cell.text for cell in self.all("#results .wide:first-of-type thead tr:last-child th")]
        self.assertIn("BLEU", titles)
        self.assertTrue(all(len(self.all("td", row)) == len(titles) - 1 for row in rows))
        self.assertIn("±", rows[1].text)  # two seeds

    def test_plots_have_axes_lines_and_legends(self):
        plots = self.all("svg.plot")
        self.assertEqual(len(plots), 2 + 6)  # by length on two corpora; three curves, two axes each
        for plot in plots:
            self.assertGreaterEqual(len(self.all(".tick", plot)), 6)
            self.assertEqual(len(self.all("polyline.line", plot)), 4)
            self.assertEqual({t.text for t in self.all(".legend", plot)},
                             {"none", "additive", "transformer", "hybrid"})
            self.assertGreater(self.script("return arguments[0].getBoundingClientRect().height", plot), 200)
        colours = {self.script("return getComputedStyle(arguments[0]).color", series)
                   for series in self.all("svg.plot .series")}
        self.assertEqual(len(colours), 4)

    def test_no_text_of_a_plot_is_cut_off_or_lies_on_another(self):
        problems = self.script("""
            const problems = [];
            for (const plot of document.querySelectorAll("svg.plot")) {
              const frame = plot.getBoundingClientRect();
              const texts = [...plot.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
              texts.forEach(([text, a], i) => {
                if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1)
                  problems.push(`cut off: ${text}`);
                for (const [other, b] of texts.slice(i + 1))
                  if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
                    problems.push(`${text} lies on ${other}`);
              });
            }
            return problems;""")
        self.assertEqual(problems, [])

    def test_attention_of_every_kind_can_be_chosen(self):
        self.assertEqual(len(self.all(".panel")), 4)
        self.assertIn("Has no attention", self.panel("none").text)
        options = lambda panel: [o.text for o in Select(self.one("select", panel)).options]
        self.assertEqual(options(self.panel("additive")), ["target to source"])
        self.assertEqual(len(options(self.panel("transformer"))), 3)
        self.assertEqual(options(self.panel("hybrid")), ["target to source", "source to source"])
        panel = self.panel("transformer")
        kind = Select(self.one("select", panel))
        kind.select_by_visible_text("target to what was before")
        # Causal: nothing attends to what comes after.
        above = self.script("""
            const [panel] = arguments, frame = panel.querySelector(".frame").getBBox();
            return [...panel.querySelectorAll(".cell")].filter((c) =>
              c.x.baseVal.value - frame.x > c.y.baseVal.value - frame.y + 1).length""", panel)
        self.assertEqual(above, 0)
        self.assertGreater(len(self.all(".cell", panel)), 3)

    def test_rows_of_attention_sum_to_one(self):
        sums = self.script("""
            return data.systems.flatMap((system) => system.attention.flatMap((sentence) => sentence.views.flatMap(
              (view) => view.heads.flatMap((head) => head.map((row) => row.reduce((a, b) => a + b))))));""")
        self.assertGreater(len(sums), 100)
        self.assertTrue(all(970 <= total <= 1030 for total in sums), (min(sums), max(sums)))

    def test_layer_and_head_can_be_chosen(self):
        panel = self.panel("transformer")
        picture = lambda: self.one(".attention", panel).get_attribute("innerHTML")
        layer, head = (Select(self.one(f"select[aria-label={name}]", panel)) for name in ("layer", "head"))
        self.assertEqual(len(layer.options), 2)
        self.assertEqual(len(head.options), 1 + 4)
        seen = {picture()}
        for number in range(1, 5):
            head.select_by_index(number)
            seen.add(picture())
        self.assertEqual(len(seen), 5)
        canvases = self.all(".overview canvas", panel)
        self.assertEqual(len(canvases), 2 * 4)
        canvases[1].click()
        self.assertEqual((layer.first_selected_option.text, head.first_selected_option.text), ("1", "2"))
        self.assertIn("chosen", canvases[1].get_attribute("class"))

    def test_pointing_at_a_cell_shows_its_weight(self):
        panel = self.panel("additive")
        self.point_at(self.one(".frame", panel))
        self.assertRegex(self.one("#tooltip").text, r"^.+ → .+: \d+\.\d%$")
        self.assertEqual(len(self.all("text.at", panel)), 2)

    def test_attention_can_be_drawn_as_lines(self):
        Select(self.one("#drawing")).select_by_value("lines")
        panel = self.panel("transformer")
        self.assertGreater(len(self.all("line.link", panel)), 5)
        self.point_at(self.all(".attention text", panel)[0])
        self.assertRegex(self.one("#tooltip").text, r"→ .+ \d+\.\d%")
        hidden = self.all("line.link[visibility=hidden]", panel)
        self.assertGreater(len(hidden), 0)

    def test_sentence_can_be_chosen(self):
        before = self.panel("additive").text
        Select(self.one("#sentence")).select_by_index(3)
        self.assertNotEqual(self.panel("additive").text, before)

    def test_figures_are_saved_as_svg_of_their_own(self):
        for selector in ("#lengths svg.plot", "#panels .attention svg"):
            text = self.script("return standalone(document.querySelector(arguments[0]))", selector)
            root = xml.etree.ElementTree.fromstring(text)
            self.assertTrue(root.tag.endswith("svg"))
            self.assertIn("stroke:rgb", text)
            self.assertNotIn("var(", text)
        self.assertEqual(len(self.all("#lengths .save, #curves .save")), 8)

    def test_translations_are_sorted_filtered_and_marked(self):
        pairs = self.all(".pair")
        self.assertEqual(len(pairs), 20)
        ranges = self.script("""
            return [...document.querySelectorAll(".pair")].map((pair) => {
              const scores = [...pair.querySelectorAll(".score")].map((s) => parseFloat(s.textContent)).filter((s) => !isNaN(s));
              return Math.max(...scores) - Math.min(...scores); })""")
        self.assertTrue(all(a >= b - 0.11 for a, b in zip(ranges, ranges[1:])), ranges)
        self.assertGreater(len(self.all(".pair ins")), 0)
        self.one("#more").click()
        self.assertEqual(len(self.all(".pair")), 40)
        Select(self.one("#order")).select_by_value("line")
        self.assertTrue(self.one(".pair .who").text.startswith("1 "))
        self.one("#filter").send_keys("zzzzz")
        self.assertEqual(len(self.all(".pair")), 0)

    def test_nothing_is_wider_than_a_phone(self):
        self.resize(NARROW)
        self.browser.refresh()
        wide = self.script("""
            return [...document.querySelectorAll("body *")].filter((e) =>
              e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide, .attention")).map((e) => e.outerHTML.slice(0, 200))""")
        self.assertEqual(wide, [])
        self.assertLessEqual(self.script("return document.documentElement.scrollWidth"), NARROW[0])
        smallest = self.script("""
            return Math.min(...[...document.querySelectorAll("svg.plot")].map((plot) =>
              parseFloat(getComputedStyle(plot.querySelector(".tick")).fontSize) * plot.getBoundingClientRect().width / plot.viewBox.baseVal.width))""")
        self.assertGreaterEqual(smallest, 9)

    def test_themes_follow_the_system_and_the_button(self):
        paper = lambda: self.script("return getComputedStyle(document.body).backgroundColor")
        light = paper()
        self.emulate("dark")
        dark = paper()
        self.assertNotEqual(light, dark)
        self.one("#theme").click()
        self.assertEqual(paper(), light)

    def test_screenshots(self):
        """Pictures for people; with --screenshots only."""
        if self.screenshots is None:
            self.skipTest("no --screenshots")
        for name, size, scheme in (("light", WIDE, "light"), ("dark", WIDE, "dark"), ("phone", NARROW, "light")):
            self.resize(size)
            self.emulate(scheme)
            self.browser.refresh()
            height = self.script("return document.documentElement.scrollHeight")
            self.resize((size[0], height))
            for section in ("header", "#results", "#lengths", "#curves", "#attention", "#translations"):
                self.one(section).screenshot(str(self.screenshots / f"{name}-{section.strip('#')}.png"))


def make_page(dragoman, directory):
    """Makes the tiny study and returns its page."""
    command = [dragoman, "compare", "configs/studies/tiny.yaml", "--output", str(directory)]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{result.stderr}")
    return directory / "report" / "index.html"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dragoman", type=pathlib.Path)
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path)
    options, rest = parser.parse_known_args()
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            print(f"skipped: no {program}")
            sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as directory:
        page = options.page or make_page(options.dragoman.resolve(), pathlib.Path(directory))
        PageTest.page = page.resolve()
        PageTest.screenshots = options.screenshots
        if options.screenshots:
            options.screenshots.mkdir(parents=True, exist_ok=True)
        PageTest.browser = start_browser()
        try:
            program = unittest.main(argv=[sys.argv[0], *rest], exit=False)
        finally:
            PageTest.browser.quit()
    sys.exit(0 if program.result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
