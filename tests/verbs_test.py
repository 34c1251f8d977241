#!/usr/bin/env python3
"""Runs every verb of the program once, on a corpus and models that take seconds, and looks at the exit
code alone: under sanitizers (scripts/test.sh asan) that tells of every error of memory on the way. What
the verbs print is the subject of other tests.

    verbs_test.py PROGRAM
"""

import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

WORDS = "a man in blue shirt is standing on ladder two young people walk along the street dog runs".split()

# Sizes that fill no vector, every kind of layer, dropout, ends of batches, and bf16 where the processor has it.
STUDY = """
name: verbs
base: base.yaml
output: study
seeds: [1]
tests: [test]
systems:
  transformer: {}
  gated: {model.encoder.activation: swiglu, model.encoder.norm: post, model.encoder.positions: learned,
    model.decoder.normalization: rms_norm, training.precision: auto}
  lstm:
    model.encoder: {type: lstm, layers: 2, dim: 19, embedding_dim: 36, layer_norm: true, residual: true}
    model.decoder: {type: lstm, layers: 1, dim: 23, embedding_dim: 36, attention: additive, attention_dim: 17,
      input_feeding: true, readout: maxout, readout_dim: 36}
  gru:
    model.encoder: {type: gru, layers: 1, dim: 18, embedding_dim: 36}
    model.decoder: {type: gru, layers: 2, dim: 36, embedding_dim: 36, attention: dot, readout_dim: 36}
    training: {optimizer: adamw, accumulate: 2, label_smoothing: 0, clip_norm: 0}
"""
BASE = """
data: {directory: ., source: en, target: de, train: [train], validation: validation, test: [test]}
vocabulary: {size: 50, sampling: 0.1}
model:
  encoder: {layers: 1, dim: 36, heads: 3, ffn_dim: 50, attention_dropout: 0.1, activation_dropout: 0.1}
  decoder: {layers: 2, dim: 36, heads: 3, ffn_dim: 50, attention_dropout: 0.1}
training: {device: cpu, precision: fp32, batch_tokens: 150, warmup_steps: 4, ema_decay: 0.9, max_steps: 6,
  validate_every: 3, save_every: 2, log_every: 1, keep: 2, tensorboard: true, profile: true}
decoding: {beam_size: 3, max_length: 20}
"""


def write_corpus(name, pairs):
    with open(f"{name}.en", "w") as source, open(f"{name}.de", "w") as target:
        for _ in range(pairs):
            words = random.choices(WORDS, k=random.randint(1, 17))
            print(*words, file=source)
            print(*(word[::-1] for word in reversed(words)), file=target)


def verbs_of(program):
    """The verbs that the help names."""
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  (\w+) {2,}\w", text.split("Verbs:")[1], re.MULTILINE))


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    called = set()

    def run(verb, *arguments):
        called.add(verb)
        command = [program, verb, *arguments]
        process = subprocess.run(command, capture_output=True, text=True)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{process.stdout}{process.stderr}")

    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        random.seed(1)
        for name, pairs in ("train", 120), ("validation", 7), ("test", 7):
            write_corpus(name, pairs)
        pathlib.Path("base.yaml").write_text(BASE)
        pathlib.Path("study.yaml").write_text(STUDY)

        run("compare", "study.yaml")
        for system in "transformer", "gated", "lstm", "gru":
            model = f"study/runs/{system}/seed-1"
            search = ["--no-repeat-ngram", "2", "--coverage-penalty", "0.2", "--n-best", "2"]
            run("translate", model, "--input", "test.en", "--alignments", "alignments", *search)
            run("score", model, "--source", "test.en", "--target", "test.de", "--output", "scores")
        run("translate", model, "--input", "test.en", "--output", "translated", "--precision", "auto", "--window", "1")
        run("evaluate", model, "--source", "test.en", "--reference", "test.de", "--metrics", "bleu", "chrf", "ter")
        run("metrics", "test.de", "--input", "translated", "validation.de", "--metrics", "bleu", "chrf", "ter",
            "--paired-bs")
        run("train", f"{model}/config.yaml", "--output", model, "--set", "training.max_steps=8")
        run("average", f"{model}/best.h5", f"{model}/last.h5", "--output", "average.h5")
        run("inspect", "average.h5")
        for dataset in pathlib.Path("study").rglob("dataset-*.h5"):
            run("inspect", "--json", str(dataset))
        run("report", "study/runs/lstm/seed-1", model, "--test", "test", "--device", "cpu")
        run("bench", "train", "base.yaml", "--steps", "2", "--passes", "1")
        run("config", "base.yaml")

    untold = verbs_of(program) - called
    if untold:
        sys.exit(f"not called: {', '.join(sorted(untold))}")


main()
