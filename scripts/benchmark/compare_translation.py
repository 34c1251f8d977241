#!/usr/bin/env python3
"""Translates a text with a transformer by Dragoman and by CTranslate2 on the CPU, in turn, and prints both speeds and
how many translations are the same.

    scripts/benchmark/compare_translation.py MODEL --source FILE [--reference FILE] [--rounds N] [--alone]

The model is a run directory or a checkpoint of a transformer with relu, sinusoidal positions and layer norms that come
first. It is converted for CTranslate2, which is installed into a virtual environment outside the project,
$DRAGOMAN_CTRANSLATE2_VENV (~/.cache/dragoman/ctranslate2 if that is not set). Both search with the beam of the model's
configuration, in batches of as many sentences, or with --alone one by one; cutting into pieces and joining them counts,
loading the model does not. CTranslate2 has its threads within a batch (1 x N) or each at a batch of its own (N x 1).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]


def enter_environment():
    """Runs this again by the Python of the virtual environment, unless that is the one at work."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    venv = pathlib.Path(os.environ.get("DRAGOMAN_CTRANSLATE2_VENV") or pathlib.Path(cache) / "dragoman/ctranslate2")
    if pathlib.Path(sys.prefix).resolve() == venv.resolve():
        return
    python, packages = venv / "bin/python", ["ctranslate2", "sentencepiece", "h5py", "numpy"]
    if not python.exists() or subprocess.run([python, "-c", f"import {','.join(packages)}"],
                                               capture_output=True).returncode:  # fmt: skip
        print(f"Installing CTranslate2 into {venv}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    os.execv(python, [python, __file__, *sys.argv[1:]])


def sinusoids(numpy, length, dim):
    half = (dim + 1) // 2
    angles = numpy.arange(length)[:, None] / 10000 ** (numpy.arange(half) / half)
    return numpy.concatenate([numpy.sin(angles), numpy.cos(angles)], axis=1)[:, :dim].astype(numpy.float32)


def convert(checkpoint, config, pieces, directory):
    import ctranslate2
    import h5py
    import numpy
    from ctranslate2.specs import common_spec, transformer_spec

    encoder, decoder = config["model"]["encoder"], config["model"]["decoder"]
    for stack in (encoder, decoder):
        expected = {"type": "transformer", "norm": "pre", "normalization": "layer_norm", "activation": "relu",
                    "positions": "sinusoidal", "heads": encoder["heads"]}  # fmt: skip
        if wrong := {key: stack[key] for key, value in expected.items() if stack[key] != value}:
            sys.exit(f"{checkpoint}: not converted for CTranslate2: {wrong}")
    with h5py.File(checkpoint) as file:
        group = file["average"] if "average" in file else file["parameters"]
        weights = {name: group[name][()] for name in group}
    source_table = weights.get("source_embedding.weight", weights["target_embedding.weight"])
    spec = transformer_spec.TransformerSpec.from_config(
        (encoder["layers"], decoder["layers"]), encoder["heads"], activation=common_spec.Activation.RELU
    )

    def linear(to, name, rows=slice(None)):
        to.weight, to.bias = weights[f"{name}.weight"][rows], weights[f"{name}.bias"][rows]

    def norm(to, name):
        to.gamma, to.beta = weights[f"{name}.norm.gain"], weights[f"{name}.norm.bias"]

    def self_attention(to, name):
        norm(to.layer_norm, name)
        linear(to.linear[0], f"{name}.query_key_value")
        linear(to.linear[1], f"{name}.output")

    def stack(to, name, table, dim):
        (to.embeddings[0] if isinstance(to.embeddings, list) else to.embeddings).weight = table
        to.scale_embeddings = config["model"]["scale_embeddings"]
        to.position_encodings.encodings = sinusoids(numpy, 1100, dim)
        to.layer_norm.gamma, to.layer_norm.beta = weights[f"{name}.norm.gain"], weights[f"{name}.norm.bias"]
        for number, layer in enumerate(to.layer):
            norm(layer.ffn.layer_norm, f"{name}.{number}.ffn")
            linear(layer.ffn.linear_0, f"{name}.{number}.ffn.in")
            linear(layer.ffn.linear_1, f"{name}.{number}.ffn.out")

    stack(spec.encoder, "encoder", source_table, encoder["dim"])
    stack(spec.decoder, "decoder", weights["target_embedding.weight"], decoder["dim"])
    for number, layer in enumerate(spec.encoder.layer):
        self_attention(layer.self_attention, f"encoder.{number}.attention")
    for number, layer in enumerate(spec.decoder.layer):
        self_attention(layer.self_attention, f"decoder.{number}.self")
        norm(layer.attention.layer_norm, f"decoder.{number}.cross")
        linear(layer.attention.linear[0], f"decoder.{number}.cross.query")
        rows = slice(2 * decoder["dim"] * number, 2 * decoder["dim"] * (number + 1))
        linear(layer.attention.linear[1], "decoder.memory.key_value", rows)
        linear(layer.attention.linear[2], f"decoder.{number}.cross.output")
    spec.decoder.projection.weight = weights.get("output.weight", weights["target_embedding.weight"])
    spec.decoder.projection.bias = weights["output.bias"]
    for register, side in ((spec.register_source_vocabulary, 0), (spec.register_target_vocabulary, 1)):
        register([pieces[side].id_to_piece(i) for i in range(pieces[side].get_piece_size())])
    spec.config.add_source_eos = True
    spec.config.decoder_start_token = "<s>"
    spec.config.layer_norm_epsilon = 1e-5
    directory.mkdir()
    spec.validate()
    spec.save(str(directory))
    return ctranslate2


class CTranslate2:
    """A converted model, as it is loaded for one setting."""

    def __init__(self, library, directory, decoding, pieces, compute_type, workers, threads):
        self.decoding, self.pieces = decoding, pieces
        self.translator = library.Translator(str(directory), compute_type=compute_type, inter_threads=workers,
                                             intra_threads=threads)  # fmt: skip

    def translate(self, lines, batch):
        source = self.pieces[0].encode(lines, out_type=str)
        results = self.translator.translate_batch(
            source, beam_size=self.decoding["beam_size"], length_penalty=self.decoding["length_penalty"],
            max_decoding_length=self.decoding["max_length"], max_batch_size=batch,
        )  # fmt: skip
        return self.pieces[1].decode([result.hypotheses[0] for result in results])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--reference", type=pathlib.Path)
    parser.add_argument("--dragoman", default=PROJECT / "build/release/dragoman")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    checkpoint = arguments.model / "best.h5" if arguments.model.is_dir() else arguments.model
    for path in (checkpoint, arguments.source):
        if not path.is_file():
            parser.error(f"there is no file {path}")
    enter_environment()
    import h5py
    import sentencepiece

    with h5py.File(checkpoint) as file:
        group, text = file["vocabulary"], file["config"][0].decode()
        sides = [group[side][()].tobytes() for side in ("source", "target") if side in group]
    pieces = [sentencepiece.SentencePieceProcessor(model_proto=side) for side in (sides * 2)[:2]]
    lines = [line for line in arguments.source.read_text(encoding="utf-8").splitlines() if line.strip()]
    threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (work / "config.yaml").write_text(text)
        (work / "many").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        (work / "one").write_text(lines[0] + "\n", encoding="utf-8")
        shown = subprocess.run([arguments.dragoman, "config", work / "config.yaml", "--json"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout  # fmt: skip
        config = json.loads(shown)
        batch = 1 if arguments.alone else config["decoding"]["batch_sentences"] or 64  # as on every processor
        library = convert(checkpoint, config, pieces, work / "converted")
        # One sentence at a time leaves no batches to be at work on side by side.
        settings = [(1, threads)] + ([] if arguments.alone or threads == 1 else [(threads, 1)])
        theirs = {
            f"CTranslate2 {library.__version__}, {kind}, {workers} x {within} threads":
                CTranslate2(library, work / "converted", config["decoding"], pieces, kind, workers, within)
            for kind in ("float32", "int8") for workers, within in settings
        }  # fmt: skip

        def ours(precision, text):
            begin = time.monotonic()
            run = subprocess.run([arguments.dragoman, "translate", checkpoint, "--input", work / text,
                                  "--batch-sentences", str(batch), "--n-best", "1", "--precision", precision,
                                  "--device", "cpu"],
                                 check=True, stdout=subprocess.PIPE)  # fmt: skip
            return time.monotonic() - begin, run.stdout.decode().splitlines()

        # Bf16 where the processor has it.
        low = subprocess.run([arguments.dragoman, "translate", checkpoint, "--input", work / "one", "--precision",
                              "bf16", "--device", "cpu"], capture_output=True).returncode == 0  # fmt: skip
        seconds, texts = {}, {}
        for round_ in range(arguments.rounds):
            for precision in ["fp32"] + ["bf16"] * low:
                program = f"Dragoman, {precision}"
                whole, texts[program] = ours(precision, "many")
                seconds.setdefault(program, []).append(whole - ours(precision, "one")[0])
            for program, translator in theirs.items():
                translator.translate(lines[:1], 1)
                begin = time.monotonic()
                if arguments.alone:
                    texts[program] = [translator.translate([line], 1)[0] for line in lines]
                else:
                    texts[program] = translator.translate(lines, batch)
                seconds.setdefault(program, []).append(time.monotonic() - begin)
            print(f"round {round_ + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
    first = texts["Dragoman, fp32"]
    print(f"{len(lines)} sentences, beam of {config['decoding']['beam_size']}, {batch} at a time, {threads} threads, "
          f"medians of {arguments.rounds} runs in turn\n")  # fmt: skip
    print("| program | sentences/s | Dragoman in fp32 is faster by | same translations | BLEU |\n|---|---|---|---|---|")
    for program, taken in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(taken, seconds["Dragoman, fp32"]))
        same = sum(a == b for a, b in zip(texts[program], first)) / len(lines)
        print(f"| {program} | {len(lines) / statistics.median(taken):.0f} | {ratio:.2f} | {same:.1%} "
              f"| {bleu(arguments, texts[program])} |")  # fmt: skip


def bleu(arguments, lines):
    if not arguments.reference:
        return ""
    score = subprocess.run([arguments.dragoman, "metrics", arguments.reference, "--score-only"],
                           input="".join(line + "\n" for line in lines), stdout=subprocess.PIPE, text=True, check=True)  # fmt: skip
    return score.stdout.strip()


try:
    main()
except subprocess.CalledProcessError as error:  # which has said what is wrong
    sys.exit(error.returncode)
