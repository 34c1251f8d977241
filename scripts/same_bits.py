#!/usr/bin/env python3
"""Trains every architecture with two programs and tells where anything of what they give differs.

    scripts/same_bits.py OLD NEW [--device cuda] [--steps 50] [--lines 200] [--only NAME ...]

OLD and NEW are two builds of `dragoman`, such as those of two commits. Each trains the same small
models on the embedded corpus, and translates the beginning of its test set by a beam of 5 with
scores and alignments, in batches and sentence by sentence. Losses, every parameter, the
optimiser's state and the translations must be the same to the last bit. A change of the design
that means to change no number is checked so.

With a build that emulates a GPU and --device cuda it takes its time: fewer steps and lines help.
Needs h5diff, of the package hdf5-tools.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parent.parent

RECURRENT = {"layers": 1, "dim": 32, "embedding_dim": 24}
TRANSFORMER = {"type": "transformer", "layers": 2, "dim": 32, "heads": 4, "ffn_dim": 48}
GRU, LSTM = {"type": "gru", **RECURRENT}, {"type": "lstm", **RECURRENT}
READOUT = {"readout_dim": 24, "attention_dim": 16}


def recurrent(cell, attention, **more):
    """A recurrent decoder."""
    decoder = {**cell, "attention": attention, **READOUT, **more}
    if attention != "additive":
        del decoder["attention_dim"]
    return decoder


# Name: encoder, decoder, and training settings of its own.
ARCHITECTURES = {
    "transformer": (TRANSFORMER, TRANSFORMER, {"training.accumulate": 2}),
    "transformer-post-norm": ({**TRANSFORMER, "norm": "post"}, {**TRANSFORMER, "norm": "post"}, {}),
    "transformer-learned-swiglu": (
        {**TRANSFORMER, "positions": "learned", "normalization": "rms_norm", "activation": "swiglu"},
        {**TRANSFORMER, "positions": "learned", "normalization": "rms_norm", "activation": "swiglu",
         "attention_dropout": 0.1, "activation_dropout": 0.1},
        {"training.ema_decay": 0.9},
    ),
    "gru-none": (GRU, recurrent(GRU, "none"), {}),
    "gru-additive": (GRU, recurrent(GRU, "additive", readout="maxout"), {"training.ema_decay": 0.9}),
    "gru-dot": ({**GRU, "dim": 16}, recurrent(GRU, "dot"), {}),
    "lstm-general-fed": ({**LSTM, "layers": 2, "residual": True},
                         recurrent(LSTM, "general", layers=2, input_feeding=True, residual=True), {}),
    "lstm-additive-normed": ({**LSTM, "layer_norm": True, "bidirectional": False},
                             recurrent(LSTM, "additive", layer_norm=True), {}),
    "hybrid": (TRANSFORMER, recurrent(GRU, "additive"), {}),
    "gru-transformer": (GRU, {**TRANSFORMER, "dim": 24}, {}),
}


def configuration(name, steps, precision):
    """The settings of an architecture as the program takes them."""
    encoder, decoder, more = ARCHITECTURES[name]
    same_width = encoder["type"] == decoder["type"] == "transformer"
    settings = {
        "data": {"directory": str(PROJECT / "data" / "embedded"), "validation": "validation"},
        "vocabulary": {"size": 400},
        "model": {"encoder": encoder, "decoder": decoder, "tie_output": decoder.get("readout_dim", 0) in (0, 24),
                  "tie_source_target": same_width or "dim" in decoder and decoder.get("embedding_dim") == 24
                  and encoder.get("embedding_dim") == 24 or decoder.get("dim") == 24},
        "training": {"precision": precision, "batch_tokens": 600, "learning_rate": 0.003, "warmup_steps": 10,
                     "schedule": "inverse_sqrt", "max_steps": steps, "validate_every": steps,
                     "save_every": steps, "log_every": 1, "samples": 0},
        "decoding": {"max_length": 20},
    }
    for key, value in more.items():
        section, field = key.split(".")
        settings[section][field] = value
    return settings


def run(program, *arguments, **options):
    """The output of a program that must succeed."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def outcome(program, config, directory, options, source, has_attention):
    """All that a program makes of a configuration, by name, besides its checkpoint."""
    run(program, "train", config, "--output", directory, "--device", options.device)
    found = {}
    for line in (directory / "log.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        for key in ("loss", "perplexity", "gradient_norm", "bleu"):
            if key in entry:
                found[f"{entry['type']} {entry.get('step')} {key}"] = entry[key]
    for batch in (1, 64):
        alignments = directory / f"alignments-{batch}"
        wanted = ["--alignments", alignments] if has_attention else []
        found[f"translations, {batch} at a time"] = run(
            program, "translate", directory / "last.h5", "--input", source, "--beam-size", 5, "--n-best", 2,
            "--batch-sentences", batch, "--device", options.device, *wanted)
        if has_attention:
            found[f"alignments, {batch} at a time"] = alignments.read_text(encoding="utf-8")
    return found


def same_checkpoints(old, new):
    """Whether two checkpoints hold the same vocabulary, parameters and state of the optimiser."""
    # The clock, and where the run lies, are each run's own.
    return subprocess.run(["h5diff", "--exclude-path=/training", "--exclude-path=/config", old, new],
                          capture_output=True, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=list(ARCHITECTURES), default=list(ARCHITECTURES))
    options = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        lines = (PROJECT / "data/embedded/test.en").read_text(encoding="utf-8").splitlines()[:options.lines]
        source = folder / "source.en"
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name in options.only:
            config = folder / f"{name}.yaml"
            config.write_text(json.dumps(configuration(name, options.steps, options.precision)), encoding="utf-8")
            old, new = (
                outcome(program.resolve(), config, folder / f"{name}-{side}", options, source, name != "gru-none")
                for side, program in (("old", options.old), ("new", options.new))
            )
            unlike = [key for key in old | new if old.get(key) != new.get(key)]
            if not same_checkpoints(folder / f"{name}-old/last.h5", folder / f"{name}-new/last.h5"):
                unlike.append("checkpoint")
            print(f"{name}: {'the same' if not unlike else 'DIFFERENT: ' + ', '.join(unlike[:5])}"
                  f" ({len(old)} results)", flush=True)
            different += bool(unlike)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
