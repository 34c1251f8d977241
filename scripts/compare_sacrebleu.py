#!/usr/bin/env python3
"""Compares `dragoman metrics` with the sacrebleu package, option by option, line by line.

    pip install sacrebleu
    scripts/compare_sacrebleu.py REFERENCE... --input HYPOTHESES

Every tokenizer and smoothing of BLEU, chrF and chrF++ and every option of TER is computed by both,
for the corpus and for each line of it, and the texts that they print are compared, signatures
included. Prints what differs and the numbers of comparisons and differences; fails if there are any.
"""

import argparse
import gzip
import itertools
import subprocess
import sys
from pathlib import Path

import sacrebleu
from sacrebleu.metrics import BLEU, CHRF, TER

BINARY = Path(__file__).resolve().parents[1] / "build" / "release" / "dragoman"
SHOWN = 5  # differences of one setting


def settings():
    """All settings: the options of the program, and the metric of the package for a corpus or,
    with `sentences`, for one line."""
    def bleu(arguments, **options):
        return ["-m", "bleu", *arguments], lambda sentences: BLEU(
            force=True, effective_order=sentences, **options)

    for tokenizer, lowercase in itertools.product(["13a", "intl", "zh", "char", "none"], [0, 1]):
        yield bleu(["-tok", tokenizer, *["-lc"] * lowercase],
                   tokenize=tokenizer, lowercase=bool(lowercase))
    for method, value in [("none", None), ("floor", None), ("floor", 0.5), ("add-k", None),
                          ("add-k", 0.3)]:
        yield bleu(["-s", method, *(["-sv", str(value)] if value else [])],
                   smooth_method=method, smooth_value=value)

    for words, whitespace, lowercase, eps in itertools.product([0, 2], [0, 1], [0, 1], [0, 1]):
        yield (["-m", "chrf", "-cw", str(words), *["--chrf-whitespace"] * whitespace,
                *["--chrf-lowercase"] * lowercase, *["--chrf-eps-smoothing"] * eps],
               lambda _, options=dict(word_order=words, whitespace=bool(whitespace),
                                      lowercase=bool(lowercase), eps_smoothing=bool(eps)):
               CHRF(**options))
    yield (["-m", "chrf", "-cc", "4", "-cw", "3", "--chrf-beta", "3"],
           lambda _: CHRF(char_order=4, word_order=3, beta=3))

    names = ["normalized", "no_punct", "asian_support", "case_sensitive"]
    for values in itertools.product([False, True], repeat=len(names)):
        options = dict(zip(names, values))
        flags = ["--ter-" + name.replace("_", "-") for name in names if options[name]]
        yield ["-m", "ter", *flags], lambda _, options=options: TER(**options)


def read_lines(path):
    """The lines of a file as the sacrebleu command reads them."""
    opened = gzip.open(path, "rt", encoding="utf-8", newline="\n") if path.endswith(".gz") else open(
        path, encoding="utf-8", newline="\n")
    with opened as file:
        return [line.rstrip() for line in file]


def expected_lines(make_metric, hypotheses, references, width):
    """What the package prints: the line of the corpus, then those of the segments."""
    def line(metric, score):
        return score.format(width, False, str(metric.get_signature()))

    metric = make_metric(False)
    yield line(metric, metric.corpus_score(hypotheses, references))
    metric = make_metric(True)
    for hypothesis, *segment_references in zip(hypotheses, *references):
        yield line(metric, metric.sentence_score(hypothesis, segment_references))


def our_lines(binary, arguments, files, width):
    command = [binary, "metrics", *files, "-w", str(width), "--force", *arguments]
    for level in [[], ["--sentence-level"]]:
        output = subprocess.run([*command, *level], check=True, stdout=subprocess.PIPE).stdout
        yield from output.decode().removesuffix("\n").split("\n")


def without_version(line):
    signature, score = line.split(" = ", 1)
    return signature[:signature.index("|version:")], score


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("references", nargs="+", metavar="REFERENCE")
    parser.add_argument("--input", required=True, metavar="HYPOTHESES")
    parser.add_argument("--width", type=int, default=6, help="decimals compared (default: 6)")
    parser.add_argument("--dragoman", default=BINARY, help="the program (default: %(default)s)")
    arguments = parser.parse_args()

    hypotheses = read_lines(arguments.input)
    references = [read_lines(path) for path in arguments.references]
    files = [*arguments.references, "--input", arguments.input]
    compared = differences = 0
    for options, make_metric in settings():
        ours = list(our_lines(arguments.dragoman, options, files, arguments.width))
        expected = list(expected_lines(make_metric, hypotheses, references, arguments.width))
        differing = [(i, *pair) for i, pair in enumerate(zip(ours, expected, strict=True))
                     if without_version(pair[0]) != without_version(pair[1])]
        for i, our_line, expected_line in differing[:SHOWN]:
            print(f"{' '.join(options)}: {f'line {i}' if i else 'corpus'}\n"
                  f"  dragoman   {our_line}\n  sacrebleu  {expected_line}")
        compared += len(ours)
        differences += len(differing)
    print(f"{compared} scores of {len(hypotheses)} segments compared with sacrebleu "
          f"{sacrebleu.__version__}: {differences} differ")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
