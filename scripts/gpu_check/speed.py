"""The speed of training beside PyTorch's, and that of translating."""

import concurrent.futures
import itertools
import json
import os
import statistics
import time

from parity import make_corpus
from setting import Failed, settings

CONFIGS = {"small": "transformer", "base": "transformer-base", "big": "transformer-big"}
VOCABULARIES, BATCH_TOKENS = (8000, 32000), (4000, 16000)
LENGTH = 31  # pieces of a random sentence; </s> makes 32
PIECES = 30  # of every translation whose speed is measured
DECODING_PRECISIONS = ("fp32", "tf32", "bf16")
# What `--cpu` runs, to see that all of this runs.
TINY = {f"model.{side}.{key}": value for side in ("encoder", "decoder")
        for key, value in (("layers", 1), ("dim", 32), ("heads", 2), ("ffn_dim", 64))}
# The one that is fastest as a rule comes first: there may be no time for the others.
GPU_MODES, CPU_MODES = ["graph", "eager-graph", "reduce-overhead", "compile", "eager"], ["eager", "compile"]


class Case:
    """A model, a vocabulary and a size of batches."""

    def __init__(self, setting, model, vocabulary, tokens):
        self.setting, self.name = setting, f"{model}, {vocabulary}, {tokens}"
        self.config = setting.project / f"configs/benchmark/{CONFIGS[model]}.yaml"
        self.precision = "bf16" if setting.on_gpu else "fp32"  # a processor may have no bf16
        self.settings = settings(
            {"vocabulary.size": vocabulary, "training.batch_tokens": tokens, "training.precision": self.precision}
            | ({} if setting.on_gpu else TINY)
        )
        self.batches = setting.work / f"batches.{vocabulary}.{tokens}.jsonl"

    def dragoman(self):
        output = self.setting.run_dragoman(
            "bench train", self.config, "--json", "--length", LENGTH, "--steps", 10, "--passes", 3,
            "--batches", self.batches, *self.settings, limit=90,
        )
        return json.loads(output)

    def pytorch(self, mode):
        config = self.setting.work / f"{self.name.replace(', ', '.')}.{mode}.json"
        config.write_text(self.setting.run([self.setting.dragoman, "config", self.config, "--json", *self.settings]))
        script = self.setting.project / "scripts/benchmark/pytorch_training.py"
        output = self.setting.run(
            [self.setting.python, script, config, self.batches, "--device", self.setting.device,
             "--precision", self.precision, "--mode", mode], limit=120, program=f"PyTorch, {mode}",
        )
        return json.loads(output[output.index("{"):])


def cases(setting, models):
    sizes = (VOCABULARIES, BATCH_TOKENS) if setting.on_gpu else ((500,), (250,))
    for vocabulary, tokens in itertools.product(*sizes):
        for model in models:
            yield Case(setting, model, vocabulary, tokens)


def training_speed(setting, results, models):
    """Every case by Dragoman, then as many beside PyTorch as there is time for, in turn; says what is left out."""
    problems, left_out = [], 0
    every = list(cases(setting, models))
    for case in every:
        result = results.setdefault(case.name, {"dragoman": [], "pytorch": {}})
        try:
            result["dragoman"].append(case.dragoman())
        except Failed as failure:
            result["failed"] = str(failure)
            problems.append(f"{case.name}: {failure}")
    modes = GPU_MODES if setting.on_gpu else CPU_MODES
    has_pytorch = has_torch(setting)
    compared = [case for case in every if has_pytorch and results[case.name]["dragoman"]]
    if setting.on_gpu:
        compile_ahead(compared, modes[0])
    for mode, case in itertools.product(modes, compared):
        result = results[case.name]
        if setting.seconds_left() < 10:
            left_out += 1
            continue
        try:
            result["pytorch"][mode] = case.pytorch(mode)
        except Failed as failure:  # theirs, and no failure of ours
            result["pytorch"][mode] = {"failed": str(failure)}
        if mode == modes[0] and setting.seconds_left() > 30:
            result["dragoman"].append(case.dragoman())
        summarise(result)
    for result in results.values():
        summarise(result)
    if problems:
        raise Failed("; ".join(problems))
    if not has_pytorch:
        return f"{setting.python} has no PyTorch for this device: nothing to compare with"
    return f"{left_out} runs of PyTorch were left out for want of time" if left_out else ""


def compile_ahead(cases, mode):
    """Has PyTorch compile the cases side by side: it keeps what it compiled, and each is soon ready when its time is
    taken, alone."""
    def compile_one(case):
        try:
            case.pytorch(mode)
        except Failed:
            pass  # it will be said when it counts

    with concurrent.futures.ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // 2)) as pool:
        list(pool.map(compile_one, cases))


def has_torch(setting):
    check = "import torch, sys; sys.exit(not torch.cuda.is_available())" if setting.on_gpu else "import torch"
    try:
        setting.run([setting.python, "-c", check])
        return True
    except Failed:
        return False


def summarise(result):
    if not result["dragoman"]:
        return
    median = lambda key: statistics.median(run[key] for run in result["dragoman"])
    result["target_tokens_per_second"] = median("target_tokens_per_second")
    result["ceiling_fraction"] = median("ceiling_fraction")
    theirs = {mode: run["target_tokens_per_second"] for mode, run in result["pytorch"].items() if "failed" not in run}
    if theirs:
        best = max(theirs, key=theirs.get)
        result["best_pytorch"], result["ratio"] = best, result["target_tokens_per_second"] / theirs[best]


def decoding_speed(setting, results, models):
    """Translations of PIECES each, by models that know nothing yet."""
    corpus = make_corpus(setting)
    copies = 50 if setting.on_gpu else 1  # 5000 sentences: a GPU translates thousands a second
    many, one = setting.work / "many.en", setting.work / "one.en"
    many.write_text((corpus / "test.en").read_text(encoding="utf-8") * copies, encoding="utf-8")
    one.write_text("A dog .\n")
    lines = len(many.read_text(encoding="utf-8").splitlines())
    for model in models:
        run = setting.work / f"decoding.{model}"
        changes = {
            "data.directory": corpus, "data.train": "[train]", "data.validation": "validation",
            "data.cache": setting.work / "cache.decoding", "vocabulary.size": 1000,
            "training.max_steps": 1, "training.batch_tokens": 500,
            "decoding.max_length": PIECES, "decoding.min_length_ratio": PIECES, "decoding.max_length_ratio": PIECES,
        } | ({} if setting.on_gpu else TINY)
        config = setting.project / f"configs/benchmark/{CONFIGS[model]}.yaml"
        setting.run_dragoman("train", config, "--output", run, *settings(changes))
        result = results.setdefault(model, {})
        for precision, beam in itertools.product(DECODING_PRECISIONS if setting.on_gpu else ("fp32",), (1, 4)):
            seconds = {}
            for text in (many, one):
                begin = time.monotonic()
                setting.run_dragoman("translate", run, "--input", text, "--beam-size", beam, "--precision", precision)
                seconds[text] = time.monotonic() - begin
            # Without the start.
            result[f"{precision}, beam of {beam}"] = (lines - 1) / max(1e-3, seconds[many] - seconds[one])
