"""Compares the speed of training with PyTorch's, run by run in turn; see compare_training.sh."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def output_of(command, seconds):
    try:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done after {seconds} s")
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{result.stderr}")
    return json.loads(result.stdout[result.stdout.index("{"):])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("--dragoman", default="build/release/dragoman")
    parser.add_argument("--python", required=True, help="of the environment that has PyTorch")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="batches")
    parser.add_argument("--limit", type=int, default=300, help="seconds that one run may take")
    parser.add_argument("--work", required=True, help="directory for the batches")
    arguments = parser.parse_args()
    batches = os.path.join(arguments.work, pathlib.Path(arguments.config).stem + ".jsonl")
    sets = [word for text in arguments.set for word in ("--set", text)]
    settings = os.path.join(arguments.work, "config.json")
    with open(settings, "w") as file:
        command = [arguments.dragoman, "config", arguments.config, "--json", *sets]
        subprocess.run(command, stdout=file, check=True)
    ours = lambda precision: [
        arguments.dragoman, "bench", "train", arguments.config, "--device", "cpu", "--json", "--passes", "3",
        "--steps", str(arguments.steps), "--batches", batches, *sets,
        "--set", f"training.precision={precision}",
    ]
    theirs = lambda precision, *more: [
        arguments.python, HERE / "pytorch_training.py", settings, batches,
        "--precision", precision, *more,
    ]
    variants = {
        (p, name): command
        for p in ("fp32", "bf16")
        for name, command in (
            ("dragoman", ours(p)),
            ("pytorch eager", theirs(p)),
            ("pytorch compile", theirs(p, "--mode", "compile")),
        )
    }
    results = {key: [] for key in variants}
    failed, reasons = set(), {}
    for round_ in range(arguments.rounds):
        for key, command in variants.items():
            # PyTorch alone says nothing: it may compute in a precision that this processor lacks.
            if key in failed or (key[0], "dragoman") in failed:
                continue
            name = f"round {round_ + 1} of {arguments.rounds}: {' '.join(key)}"
            try:
                results[key].append(output_of(command, arguments.limit))
                speed = results[key][-1]["target_tokens_per_second"]
                print(f"{name}: {speed:.0f} target tokens/s", file=sys.stderr, flush=True)
            except RuntimeError as error:
                failed.add(key)
                reasons[key] = str(error)
                print(f"{name} failed: {error}"[:2000], file=sys.stderr)
    median = lambda runs, field: statistics.median(run[field] for run in runs)
    print(f"{arguments.config}, medians of {arguments.rounds} runs in turn\n")
    print("| precision | program | target tokens/s | peak memory, MiB | of the ceiling | Dragoman is faster by |")
    print("|---|---|---|---|---|---|")
    for (precision, name), runs in results.items():
        if not runs:
            reason = reasons.get((precision, name), "left out").splitlines()[-1]
            print(f"| {precision} | {name} | {reason} | | | |")
            continue
        mine = [run["target_tokens_per_second"] for run in results[precision, "dragoman"]]
        # Pairs of one round, so that a machine whose speed changes favours neither.
        ratio = statistics.median(a / run["target_tokens_per_second"] for a, run in zip(mine, runs))
        ceiling = f"{median(runs, 'ceiling_fraction'):.2f}" if name == "dragoman" else ""
        print(
            f"| {precision} | {name} | {median(runs, 'target_tokens_per_second'):.0f} "
            f"| {median(runs, 'peak_memory_bytes') / 2**20:.0f} | {ceiling} "
            f"| {'' if name == 'dragoman' else f'{ratio:.2f}'} |"
        )
    versions = {run["version"] for runs in results.values() for run in runs if "version" in run}
    print(f"\nPyTorch {', '.join(versions)}; {results['fp32', 'dragoman'][0]['threads']} threads")


main()
