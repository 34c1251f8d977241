"""Tests scripts/join_sentences.py: what it joins, and what it says of what it cannot join."""

import gzip
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "scripts" / "join_sentences.py"


class JoinSentencesTest(unittest.TestCase):
    """Each test has a directory of its own."""

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self.temporary.name)

    def tearDown(self):
        self.temporary.cleanup()

    def write(self, sources, targets, packed=False):
        for language, lines in (("en", sources), ("de", targets)):
            text = "".join(line + "\n" for line in lines).encode()
            path = self.directory / f"text.{language}{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(text) if packed else text)

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, self.directory / "text", self.directory / "long",
                               "--languages", "en", "de", *arguments], capture_output=True, text=True)

    def lines(self, language):
        return (self.directory / f"long.{language}").read_text().splitlines()

    def test_joins_neighbours_to_about_the_length(self):
        self.write(["a b c", "d e", "f g h i", "j", "k l m n o", "p q r s t"], ["A", "B", "C", "D", "E", "F"])
        self.assertEqual(self.run_script("--lengths", "5", "10").returncode, 0)
        self.assertEqual(self.lines("en"), ["a b c d e", "f g h i j", "k l m n o", "p q r s t",
                                            "a b c d e f g h i j", "k l m n o p q r s t"])
        self.assertEqual(self.lines("de"), ["A B", "C D", "E", "F", "A B C D", "E F"])

    def test_leaves_out_what_misses_the_length(self):
        self.write(["a " * 9, "b b", "c c c"], ["A", "B", "C"])
        self.assertEqual(self.run_script("--lengths", "5").returncode, 0)
        self.assertEqual(self.lines("de"), ["B C"])

    def test_makes_at_most_so_many(self):
        self.write(["a b"] * 50, ["A"] * 50, packed=True)
        self.run_script("--lengths", "4", "--sentences", "7")
        self.assertEqual(len(self.lines("en")), 7)

    def test_blank_sides_are_no_part_of_it(self):
        self.write(["a b", "", "c d", "e f"], ["A", "B", "", "C"])
        self.run_script("--lengths", "4")
        self.assertEqual((self.lines("en"), self.lines("de")), (["a b e f"], ["A C"]))

    def test_says_what_is_wrong(self):
        self.assertIn("there is neither", self.run_script().stderr)
        self.write(["a"], ["A", "B"])
        self.assertIn("1 source and 2 target lines", self.run_script().stderr)
        self.write(["a"], ["A"])
        result = self.run_script("--lengths", "50")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no neighbours", result.stderr)


if __name__ == "__main__":
    unittest.main()
