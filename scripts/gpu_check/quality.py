"""A training to the end, and how good and how fast its translations are."""

import json
import time

from parity import Findings, compare_translations, make_corpus
from setting import Failed, settings

MULTI30K_BLEU = 38  # of configs/multi30k/transformer.en-de.yaml on test_2016_flickr; 38.8 on a CPU in fp32
EMBEDDED_BLEU = 10  # after a thousand steps, as scripts/quickstart.sh --short expects
BLEU_OF_ROUNDING = 0.5
BLEU_OF_RUNS = 1  # that differ in their random numbers only
LOSS_LEFT = 0.98  # of that of the first steps, at the end


def train(setting, config, run, changes):
    """What a training logged, and its seconds."""
    begin = time.monotonic()
    setting.run_dragoman("train", config, "--output", run, *settings(changes))
    seconds = time.monotonic() - begin
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()], seconds


def training(setting, results):
    run = setting.work / "training"
    if setting.data:
        corpus, test, least = setting.data, "test_2016_flickr", MULTI30K_BLEU
        config = setting.project / "configs/multi30k/transformer.en-de.yaml"
        changes = {"data.directory": corpus, "data.test": "[]", "training.max_minutes": 2.75}
    else:
        corpus, test, least = setting.project / "data/embedded", "test", EMBEDDED_BLEU
        config = setting.project / "configs/quickstart.yaml"
        changes = {"data.directory": corpus, "training.max_steps": 1000, "training.max_minutes": 2.5}
        if not setting.on_gpu:  # to see that this part runs: no BLEU can be expected
            corpus, least = make_corpus(setting), 0
            changes |= {"data.directory": corpus, "training.max_steps": 100, "training.log_every": 20}
    find = lambda language: next(corpus.glob(f"{test}.{language}*"), None)
    source, reference = find("en"), find("de")
    if not source or not reference:
        raise Failed(f"{corpus} has no {test}.en and {test}.de")
    entries, results["seconds"] = train(setting, config, run, changes)
    results["corpus"], results["steps"] = corpus.name, max(entry["step"] for entry in entries)
    steps = [entry for entry in entries if entry["type"] == "train"]
    results["target_tokens_per_second"] = max(entry["target_tokens_per_second"] for entry in steps)
    found = Findings(results)
    found.at_most("loss that is left", steps[-1]["loss"] / steps[0]["loss"], LOSS_LEFT)
    bleu = lambda run, precision: json.loads(setting.run_dragoman(
        "evaluate", run, "--source", source, "--reference", reference, "--json", "--precision", precision))["score"]
    fp32 = bleu(run, "fp32")
    found.at_least("BLEU", fp32, least)
    found.at_most("BLEU that bf16 takes", fp32 - bleu(run, "auto"), BLEU_OF_ROUNDING)
    compare_translations(setting, source, run, found)
    left_out = ""
    if setting.on_gpu and setting.seconds_left() < 1.2 * results["seconds"] + 10:
        left_out = "there was no time to train in bf16"
    elif setting.on_gpu:
        low = setting.work / "training in bf16"
        _, results["seconds in bf16"] = train(setting, config, low, changes | {"training.precision": "bf16"})
        found.at_least("BLEU when trained in bf16", bleu(low, "bf16"), least - BLEU_OF_RUNS)
    if found.problems:
        raise Failed("; ".join(found.problems))
    return left_out
