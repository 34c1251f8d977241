#!/usr/bin/env python3
"""Trains the transformer of configs/benchmark/transformer.yaml with Dragoman and with Marian on the CPU, in
turn, and prints both speeds.

    scripts/benchmark/compare_marian.py [--rounds N] [--set key=value]...

Marian is the package pymarian (with MKL, two synchronous workers of one thread each, its fastest setting
here), installed into a virtual environment outside the project, $DRAGOMAN_MARIAN_VENV
(~/.cache/dragoman/marian if that is not set): 1.6 GB. It makes its own vocabulary of 8000 pieces, batches
of 2000 target tokens and counts the words of its speed in target pieces, as Dragoman does.
"""

import argparse
import gzip
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = PROJECT / "configs/benchmark/transformer.yaml"
UPDATES, SHOWN = 80, 20  # of which the first ones shown, where memory grows, are left out
# Runs `marian`, whose commands the module has.
MARIAN = "import sys, _pymarian; sys.exit(_pymarian.main(sys.argv[1:]))"


def environment():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    venv = pathlib.Path(os.environ.get("DRAGOMAN_MARIAN_VENV") or pathlib.Path(cache) / "dragoman/marian")
    python = venv / "bin/python"
    if not python.exists() or subprocess.run([python, "-c", "import _pymarian"], capture_output=True).returncode:
        print(f"Installing Marian into {venv}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        # Alone: what it depends on serves its Python interface, which is not used.
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "pymarian"], check=True)
    version = subprocess.run([python, "-m", "pip", "show", "pymarian"], capture_output=True, text=True, check=True)
    return python, re.search(r"Version: (\S+)", version.stdout)[1]


def text_of(prefix, language):
    path = pathlib.Path(f"{prefix}.{language}")
    return path.read_bytes() if path.exists() else gzip.decompress(pathlib.Path(f"{path}.gz").read_bytes())


def marian(python, threads, work, data):
    model = data["model"]
    encoder, decoder = model["encoder"], model["decoder"]
    sides = [data["data"]["source"], data["data"]["target"]]
    prefix = pathlib.Path(data["data"]["directory"]) / data["data"]["train"][0]
    for side in sides:
        (work / f"train.{side}").write_bytes(text_of(prefix, side))
    options = {
        "type": "transformer", "dim-emb": encoder["dim"], "transformer-dim-ffn": encoder["ffn_dim"],
        "transformer-heads": encoder["heads"], "enc-depth": encoder["layers"], "dec-depth": decoder["layers"],
        "transformer-dropout": encoder["dropout"], "label-smoothing": data["training"]["label_smoothing"],
        "tied-embeddings-all": "true", "mini-batch": 1000, "mini-batch-words": data["training"]["batch_tokens"],
        "optimizer": "adam", "clip-norm": 1, "cost-type": "ce-mean-words", "disp-freq": SHOWN,
        "after-batches": UPDATES, "seed": 1, "model": work / "model.npz", "cpu-threads": threads,
    }  # fmt: skip
    size = str(data["vocabulary"]["size"])
    command = [python, "-c", MARIAN, "train", "--sync-sgd", "--dim-vocabs", size, size]
    command += ["--train-sets", *(work / f"train.{side}" for side in sides)]
    command += ["--vocabs", work / "vocabulary.spm", work / "vocabulary.spm"]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    for file in work.glob("model.npz*"):
        file.unlink()
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    speeds = [float(speed) for speed in re.findall(r": ([\d.]+) words/s", run.stdout)]
    if run.returncode or len(speeds) < UPDATES // SHOWN:
        sys.exit(f"Marian failed:\n{run.stdout[-3000:]}")
    return statistics.median(speeds[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dragoman", default=PROJECT / "build/release/dragoman")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    sets = [word for text in arguments.set for word in ("--set", text)]
    printed = lambda *command: subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    config = json.loads(printed(arguments.dragoman, "config", CONFIG, "--json", *sets))
    ours = lambda precision: json.loads(printed(
        arguments.dragoman, "bench", "train", CONFIG, "--json", "--device", "cpu", *sets,
        "--set", f"training.precision={precision}"))  # fmt: skip
    python, version = environment()
    speeds = {"Marian": [], "fp32": [], "bf16": []}
    with tempfile.TemporaryDirectory() as directory:
        for round_ in range(arguments.rounds):
            for precision in ("fp32", "bf16"):
                result = ours(precision)
                speeds[precision].append(result["target_tokens_per_second"])
            speeds["Marian"].append(marian(python, result["threads"], pathlib.Path(directory), config))
            told = ", ".join(f"{name} {values[-1]:.0f}" for name, values in speeds.items())
            print(f"round {round_ + 1} of {arguments.rounds}: {told} target tokens/s", file=sys.stderr, flush=True)
    print(f"{CONFIG.relative_to(PROJECT)}, medians of {arguments.rounds} runs in turn, {result['threads']} threads\n")
    print("| program | target tokens/s | Dragoman is faster by |\n|---|---|---|")
    for name, values in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(values, speeds["Marian"]))
        program = f"Marian {version}, fp32" if name == "Marian" else f"Dragoman, {name}"
        print(f"| {program} | {statistics.median(values):.0f} | {'' if name == 'Marian' else f'{ratio:.2f}'} |")


try:
    main()
except subprocess.CalledProcessError as error:  # which has said what is wrong
    sys.exit(error.returncode)
