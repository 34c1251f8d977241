#!/usr/bin/env python3
"""Writes the embedded English-German corpus, or checks that it is what the grammar says.

    python3 data/generate.py            writes data/embedded/{train,validation,test}.{en,de}
    python3 data/generate.py --check    compares them instead; exit status 1 on the first difference
"""

import argparse
import itertools
import pathlib
import sys

sys.dont_write_bytecode = True

from generator import corpus  # noqa: E402  (after the line above, which concerns it)

OUTPUT = pathlib.Path(__file__).resolve().parent / "embedded"


def files():
    """Yields (path, text) of every file of the corpus."""
    for name, pairs in corpus.build().items():
        for side, language in enumerate(("en", "de")):
            yield OUTPUT / f"{name}.{language}", "".join(pair[side] + "\n" for pair in pairs)


def first_difference(path, text):
    """What first differs between a file and the text it should hold; empty if nothing does."""
    if not path.is_file():
        return f"{path}: missing"
    written = path.read_bytes().decode("utf-8", errors="replace")
    for number, (found, expected) in enumerate(
            itertools.zip_longest(written.split("\n"), text.split("\n")), start=1):
        if found != expected:
            return f"{path}:{number}: found {found!r}, the generator says {expected!r}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    if parser.parse_args().check:
        for path, text in files():
            difference = first_difference(path, text)
            if difference:
                sys.exit(difference)
        return
    OUTPUT.mkdir(exist_ok=True)
    for path, text in files():
        path.write_bytes(text.encode("utf-8"))


if __name__ == "__main__":
    main()
