"""A training to the end, and how good and how fast its translations are."""

import json
import time

from parity import Findings, compare_translations, make_corpus
from setting import Failed, settings

MULTI30K_BLEU = 38  # of configs/multi30k/transformer.en-de.yaml on test_2016_flickr; 38.8 on a CPU in fp32
EMBEDDED_BLEU = 10  # after a thousand steps, as scripts/quickstart.sh --short expects
BLEU_OF_ROUNDING = 0.5
LOSS_LEFT = 0.98  # of that of the first steps, at the end


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
    begin = time.monotonic()
    setting.run_dragoman("train", config, "--output", run, *settings(changes))
    results["seconds"] = time.monotonic() - begin
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    results["corpus"], results["steps"] = corpus.name, max(entry["step"] for entry in entries)
    steps = [entry for entry in entries if entry["type"] == "train"]
    results["target_tokens_per_second"] = max(entry["target_tokens_per_second"] for entry in steps)
    found = Findings(results)
    found.at_most("loss that is left", steps[-1]["loss"] / steps[0]["loss"], LOSS_LEFT)
    fp32, fastest = (
        json.loads(setting.run_dragoman("evaluate", run, "--source", source, "--reference", reference, "--json",
                                        "--precision", precision))["score"]
        for precision in ("fp32", "auto")
    )
    found.at_least("BLEU", fp32, least)
    found.at_most("BLEU that bf16 takes", fp32 - fastest, BLEU_OF_ROUNDING)
    compare_translations(setting, source, run, found)
    if found.problems:
        raise Failed("; ".join(found.problems))
