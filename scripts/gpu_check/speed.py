"""The speed of training beside PyTorch's, and that of translating."""

import concurrent.futures
import itertools
import json
import os
import shutil
import statistics
import subprocess
import time

from parity import make_corpus
from setting import Failed, attempt, settings

CONFIGS = {"small": "transformer", "base": "transformer-base", "big": "transformer-big"}
VOCABULARIES, BATCH_TOKENS = (32000, 8000), (16000, 4000)  # the longest come first: time may be short
LENGTH = 31  # pieces of a random sentence; </s> makes 32
PIECES = 30  # of every translation whose speed is measured
SENTENCES = {"small": 20000, "base": 10000, "big": 5000}  # that are translated: a second or more of work
DECODING_PRECISIONS = ("fp32", "bf16")
# What `--cpu` runs, to see that all of this runs.
TINY = {f"model.{side}.{key}": value for side in ("encoder", "decoder")
        for key, value in (("layers", 1), ("dim", 32), ("heads", 2), ("ffn_dim", 64))}
# The one that is fastest as a rule comes first: there may be no time for the others.
GPU_MODES, CPU_MODES = ["graph", "eager-graph", "reduce-overhead", "compile", "eager"], ["eager", "compile"]
NOT_COMPILED = ("eager-graph", "eager")
COMPILES_SOMETHING = "import torch; torch.compile(lambda x: x.sin().sum())(torch.ones(64, device='cuda')).item()"
DRAGOMAN_SECONDS, PYTORCH_SECONDS = 8, 25  # that a measurement takes, at most as a rule
# bf16 products of dense matrices, TFLOP/s, by NVIDIA's data sheets; the first name that fits.
PEAKS = {"H100 PCIe": 756, "H100 NVL": 835, "H100": 989.4, "H200": 989.4, "A100": 312}


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

    def pytorch(self, mode, limit=120, options=(), **more):
        config = self.setting.work / f"{self.name.replace(', ', '.')}.{mode}.json"
        config.write_text(self.setting.run([self.setting.dragoman, "config", self.config, "--json", *self.settings],
                                           **more))
        script = self.setting.project / "scripts/benchmark/pytorch_training.py"
        output = self.setting.run(
            [self.setting.python, script, config, self.batches, "--device", self.setting.device,
             "--precision", self.precision, "--mode", mode, *options], limit, program=f"PyTorch, {mode}", **more,
        )
        return json.loads(output[output.index("{"):])


def cases(setting, models):
    sizes = (VOCABULARIES, BATCH_TOKENS) if setting.on_gpu else ((500,), (250,))
    for vocabulary, tokens in itertools.product(*sizes):
        for model in models:
            yield Case(setting, model, vocabulary, tokens)


class CompileAhead:
    """Has PyTorch compile what will be measured, a few cases side by side, while other parts run that take no times:
    it keeps what it compiled, and each case is soon ready when its time is taken, alone."""

    MEMORY_SHARE = 0.25  # of the GPU's, of each of three at most: the rest is for the parts
    LEAST_MEMORY = 40_000  # MiB of the GPU, of which that leaves enough
    SECONDS = 90  # of each

    def __init__(self, setting, models):
        self.setting, self.no_compiling = setting, None
        self.pool = concurrent.futures.ThreadPoolExecutor(max(1, min(3, len(os.sched_getaffinity(0)) // 4)))
        self.every = list(cases(setting, models))
        self.begun = self.pool.submit(attempt, self.begin)

    def begin(self):
        if not has_torch(self.setting, beside=True):
            return
        _, self.no_compiling = attempt(lambda: self.setting.run(
            [self.setting.python, "-c", COMPILES_SOMETHING], self.SECONDS, "torch.compile", beside=True))
        if self.no_compiling or gpu_memory() < self.LEAST_MEMORY:
            return
        for case in {case.batches: case for case in reversed(self.every)}.values():  # models share batches
            self.setting.run_dragoman(
                "bench train", case.config, "--length", LENGTH, "--steps", 10, "--passes", 1,
                "--batches", case.batches, *case.settings, limit=self.SECONDS, beside=True)
        for case in self.every:
            self.pool.submit(attempt, lambda case=case: case.pytorch(
                "compile", self.SECONDS, ["--memory-share", self.MEMORY_SHARE], beside=True))

    def abandon(self):
        self.pool.shutdown(wait=False, cancel_futures=True)

    def finish(self, all_of_it):
        """Waits for what is under way, or for all. Why PyTorch cannot compile, if it cannot."""
        self.begun.result()
        self.pool.shutdown(cancel_futures=not all_of_it)
        return self.no_compiling


class Comparison:
    """The cases, each by Dragoman and by PyTorch."""

    def __init__(self, setting, results, models):
        self.setting, self.results = setting, results
        self.every = list(cases(setting, models))
        self.problems, self.left_out = [], 0
        for case in self.every:
            results[case.name] = {"dragoman": [], "pytorch": {}}

    def dragoman(self, case):
        result = self.results[case.name]
        run, failure = attempt(case.dragoman)
        if run:
            result["dragoman"].append(run)
        elif self.setting.seconds_left() > 1 or not result["dragoman"]:
            result["failed"] = failure
            self.problems.append(f"{case.name}: {failure}")
        self.found(result)

    def pytorch(self, case, mode, reserve=0):
        """Leaves so many seconds for others."""
        result = self.results[case.name]
        if not result["dragoman"]:
            return
        limit = self.setting.seconds_left() - reserve
        if limit < PYTORCH_SECONDS:
            self.left_out += 1
            return
        run, failure = attempt(lambda: case.pytorch(mode, min(120, limit)))
        if run is None and self.setting.seconds_left() < 1 + reserve:
            self.left_out += 1
        else:  # a failure of theirs is none of ours
            result["pytorch"][mode] = run or {"failed": failure}
        self.found(result)

    def found(self, result):
        summarise(result)
        self.setting.save()


def training_speed(setting, results, models, no_compiling):
    """Every case by Dragoman and by PyTorch in turn, then by PyTorch's other modes, as long as there is time; says what
    is left out."""
    comparison = Comparison(setting, results, models)
    modes = []
    if has_torch(setting):
        modes = [mode for mode in (GPU_MODES if setting.on_gpu else CPU_MODES)
                 if not no_compiling or mode in NOT_COMPILED]
    for number, case in enumerate(comparison.every):
        comparison.dragoman(case)
        for mode in modes[:1]:
            comparison.pytorch(case, mode, DRAGOMAN_SECONDS * (len(comparison.every) - number - 1))
    for mode, case in itertools.product(modes[1:], comparison.every):
        comparison.pytorch(case, mode)
        if mode == modes[1] and setting.seconds_left() > DRAGOMAN_SECONDS:
            comparison.dragoman(case)
    if comparison.problems:
        raise Failed("; ".join(comparison.problems))
    if not modes:
        return f"{setting.python} has no PyTorch for this device: nothing to compare with"
    remarks = [f"{comparison.left_out} runs of PyTorch were left out for want of time"] if comparison.left_out else []
    return "; ".join(remarks + [f"PyTorch compiles nothing here: {no_compiling}"] * bool(no_compiling))


def gpu_memory():
    """MiB of the smallest GPU; 0 where that is not known."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    sizes, _ = attempt(lambda: [int(line) for line in subprocess.check_output(query, text=True, timeout=60).split()])
    return min(sizes or [0])


def has_torch(setting, **more):
    check = "import torch, sys; sys.exit(not torch.cuda.is_available())" if setting.on_gpu else "import torch"
    try:
        setting.run([setting.python, "-c", check], **more)
        return True
    except Failed:
        return False


def summarise(result):
    if not result["dragoman"]:
        return
    median = lambda key: statistics.median(run[key] for run in result["dragoman"])
    result["target_tokens_per_second"] = median("target_tokens_per_second")
    result["ceiling_fraction"] = median("ceiling_fraction")
    result["teraflops"] = median("gflops") / 1000
    name = result["dragoman"][0]["device_name"]
    if peak := next((peak for gpu, peak in PEAKS.items() if gpu in name), None):
        result["peak_fraction"] = result["teraflops"] / peak
    theirs = {mode: run["target_tokens_per_second"] for mode, run in result["pytorch"].items() if "failed" not in run}
    if theirs:
        best = max(theirs, key=theirs.get)
        result["best_pytorch"], result["ratio"] = best, result["target_tokens_per_second"] / theirs[best]


def decoding_speed(setting, results, models):
    """Translations of PIECES each, by models that know nothing yet."""
    corpus = make_corpus(setting)
    text = (corpus / "test.en").read_text(encoding="utf-8").splitlines(True)
    one = setting.work / "one.en"
    one.write_text("A dog .\n")
    problems = []
    for model in models:
        run = setting.work / f"decoding.{model}"
        changes = {
            "data.directory": corpus, "data.train": "[train]", "data.validation": "validation",
            "data.cache": setting.work / "cache.decoding", "vocabulary.size": 1000,
            "training.max_steps": 1, "training.batch_tokens": 500,
            "decoding.max_length": PIECES, "decoding.min_length_ratio": PIECES, "decoding.max_length_ratio": PIECES,
        } | ({} if setting.on_gpu else TINY)
        config = setting.project / f"configs/benchmark/{CONFIGS[model]}.yaml"
        many, lines = setting.work / f"many.{model}.en", SENTENCES[model] if setting.on_gpu else len(text)
        many.write_text("".join(text * (lines // len(text))), encoding="utf-8")
        result = results.setdefault(model, {"sentences": lines})

        def seconds(source, precision, beam):
            begin = time.monotonic()
            setting.run_dragoman("translate", run, "--input", source, "--beam-size", beam, "--precision", precision)
            return time.monotonic() - begin

        _, failure = attempt(lambda: setting.run_dragoman("train", config, "--output", run, *settings(changes)))
        if failure:
            problems.append(f"{model}: {failure}")
            continue
        for precision in DECODING_PRECISIONS if setting.on_gpu else ("fp32",):
            start, failure = attempt(lambda: seconds(one, precision, 1))
            failures = [failure]
            for beam in (1, 4) if start else ():
                taken, failure = attempt(lambda: seconds(many, precision, beam))
                failures.append(failure)
                if taken:
                    result[f"{precision}, beam of {beam}"] = (lines - 1) / max(1e-3, taken - start)
                setting.save()
            problems += [f"{model}, {precision}: {failure}" for failure in failures if failure]
        shutil.rmtree(run, ignore_errors=True)  # of the largest, some gigabytes
    if problems:
        raise Failed("; ".join(problems))
