#!/usr/bin/env python3
"""Makes a test set of long inputs by joining consecutive pairs of a corpus.

    scripts/join_sentences.py data/multi30k/test_2016_flickr data/multi30k/test_long --languages en de

For each length (source words) it goes through CORPUS.<language>[.gz] from its start and joins
neighbours until they come as near to that length as they can; what misses it by more than a fifth is
left out. OUTPUT.<language> gets the results, shortest first. Nothing is drawn at random.
"""

import argparse
import gzip
import pathlib
import sys

TOLERANCE = 0.2  # of the length


def read_lines(prefix, language):
    """The lines of PREFIX.LANGUAGE, plain or gzip."""
    plain = pathlib.Path(f"{prefix}.{language}")
    packed = pathlib.Path(f"{prefix}.{language}.gz")
    if plain.exists():
        return plain.read_text(encoding="utf-8").splitlines()
    if packed.exists():
        return gzip.decompress(packed.read_bytes()).decode("utf-8").splitlines()
    sys.exit(f"join_sentences.py: there is neither {plain} nor {packed}")


def join(pairs, length, most):
    """At most `most` pairs of about `length` source words, each of neighbours in `pairs`."""
    joined, source, target, words = [], [], [], 0

    def close():
        nonlocal source, target, words
        if source and abs(words - length) <= TOLERANCE * length:
            joined.append((" ".join(source), " ".join(target)))
        source, target, words = [], [], 0

    for next_source, next_target in pairs:
        count = len(next_source.split())
        if count == 0 or not next_target.strip():
            continue
        # Nearer without it than with it: it begins the next one.
        if source and length - words < words + count - length:
            close()
        source.append(next_source.strip())
        target.append(next_target.strip())
        words += count
        if words >= length:
            close()
        if len(joined) == most:
            return joined
    close()
    return joined[:most]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="where the corpus is, without .<language>")
    parser.add_argument("output", help="where the set goes, without .<language>")
    parser.add_argument("--languages", nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--lengths", nargs="+", type=int, default=list(range(10, 121, 10)),
                        metavar="WORDS", help="source words (10, 20, ..., 120 if left out)")
    parser.add_argument("--sentences", type=int, default=100, metavar="N",
                        help="at most so many of each length (100 if left out)")
    options = parser.parse_args()
    if min(options.lengths) < 1 or options.sentences < 1:
        parser.error("lengths and the number of sentences are at least 1")

    source, target = (read_lines(options.corpus, language) for language in options.languages)
    if len(source) != len(target):
        sys.exit(f"join_sentences.py: {options.corpus}: {len(source)} source and {len(target)} target lines")
    made = []
    for length in sorted(options.lengths):
        joined = join(list(zip(source, target)), length, options.sentences)
        print(f"{length:4} words: {len(joined)} sentences")
        made += joined
    if not made:
        sys.exit(f"join_sentences.py: no neighbours in {options.corpus} have about so many words")
    for side, language in enumerate(options.languages):
        path = pathlib.Path(f"{options.output}.{language}")
        path.write_text("".join(pair[side] + "\n" for pair in made), encoding="utf-8")


if __name__ == "__main__":
    main()
