#!/usr/bin/env python3
"""The embedded corpus is what its generator says, well-formed, and its sets are disjoint."""

import itertools
import pathlib
import subprocess
import sys
import unicodedata
import unittest

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
SIZES = {"train": 24000, "validation": 800, "test": 1000}


def read_lines(name, language):
    """The lines of one file; a last line without an end counts as broken."""
    text = (DATA / "embedded" / f"{name}.{language}").read_bytes().decode("utf-8")
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


class EmbeddedCorpusTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.sets = {name: (read_lines(name, "en"), read_lines(name, "de")) for name in SIZES}

    def all_lines(self):
        return itertools.chain.from_iterable(itertools.chain(*self.sets.values()))

    def test_generator_writes_these_very_files(self):
        check = subprocess.run([sys.executable, str(DATA / "generate.py"), "--check"],
                               capture_output=True, text=True, check=False)
        self.assertEqual((check.returncode, check.stderr), (0, ""))

    def test_both_sides_have_the_promised_number_of_lines(self):
        for name, size in SIZES.items():
            self.assertEqual([len(side) for side in self.sets[name]], [size, size], name)

    def test_no_sentence_occurs_twice_on_either_side(self):
        for side in (0, 1):
            lines = [line for pair in self.sets.values() for line in pair[side]]
            self.assertEqual(len(lines), len(set(lines)))

    def test_lengths_reach_from_3_to_60_words_in_every_set(self):
        for name, (source, target) in self.sets.items():
            lengths = [len(line.split()) for line in source]
            self.assertEqual(min(lengths), 3, name)
            self.assertLessEqual(max(lengths), 60, name)
            target_lengths = [len(line.split()) for line in target]
            self.assertTrue(3 <= min(target_lengths) and max(target_lengths) <= 60, name)
            for shortest in range(1, 60, 10):
                inside = sum(shortest <= length < shortest + 10 for length in lengths)
                self.assertGreaterEqual(inside, len(source) // 100, f"{name} from {shortest}")

    def test_text_is_composed_and_cleanly_spaced(self):
        for line in self.all_lines():
            self.assertEqual(line, unicodedata.normalize("NFC", line))
            self.assertEqual(line, " ".join(line.split()))
            self.assertNotRegex(line, r" [,.;?!]|[,;](?=[^\s\d])")
            self.assertRegex(line, r"^[A-ZÄÖÜ0-9].*[^\s,;][.?!]$")


if __name__ == "__main__":
    unittest.main()
