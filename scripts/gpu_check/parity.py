"""Whole models: the CPU against the device, run against run, graphs against none, and moves between."""

import json
import shutil

from setting import Failed, attempt, settings

STEPS = 20
# What numbers may differ by, relative to their size. Sums are made in another order, and training makes
# such differences grow; bf16 keeps 8 bits.
LOSS, LOSS_AT_FIRST, NORM, BF16_LOSS = 1e-3, 1e-5, 1e-2, 2e-2
LOG_PROBABILITY = 1e-4
SAME_TRANSLATIONS = 0.98  # of all sentences: where two hypotheses are as good, either may win

TRANSFORMER = {"type": "transformer", "layers": 2, "dim": 64, "heads": 4, "ffn_dim": 128}
GRU = {"type": "gru", "layers": 1, "dim": 64, "embedding_dim": 64}
LSTM = {"type": "lstm", "layers": 2, "dim": 64, "embedding_dim": 64}
READOUT = {"readout_dim": 64}
MODELS = {
    "transformer": (TRANSFORMER, TRANSFORMER),
    "gru with additive attention": (GRU, GRU | READOUT | {"attention": "additive", "attention_dim": 64}),
    "gru without attention": (GRU, GRU | READOUT | {"attention": "none"}),
    "transformer to lstm": (TRANSFORMER, LSTM | READOUT | {"attention": "dot"}),
}


def make_corpus(setting):
    """A corner of the embedded corpus."""
    directory = setting.work / "corpus"
    directory.mkdir(exist_ok=True)
    for name, lines in (("train", 2000), ("validation", 20), ("test", 100)):
        for language in ("en", "de"):
            text = (setting.project / f"data/embedded/{name}.{language}").read_text(encoding="utf-8")
            (directory / f"{name}.{language}").write_text("".join(text.splitlines(True)[:lines]), encoding="utf-8")
    return directory


class Runs:
    """Trainings of one model on the same batches."""

    def __init__(self, setting, name, encoder, decoder):
        self.setting, self.count = setting, 0
        self.corpus = make_corpus(setting)
        self.config = setting.write_config(
            "parity " + name,
            {
                "name": name,
                "data": {"directory": str(self.corpus), "source": "en", "target": "de", "train": ["train"],
                         "validation": "validation", "max_length": 64, "cache": str(setting.work / "cache")},
                "vocabulary": {"type": "unigram", "size": 500, "shared": True},
                "model": {"encoder": encoder, "decoder": decoder},
                "training": {"precision": "fp32", "batch_tokens": 500, "learning_rate": 0.002, "warmup_steps": 10,
                             "max_steps": STEPS, "log_every": 1, "validate_every": STEPS, "save_every": STEPS},
                "decoding": {"beam_size": 4, "max_length": 30},
            },
        )

    def train(self, device, directory=None, **changes):
        """The directory of a run; continues the one that is given."""
        if directory is None:
            self.count += 1
            directory = self.setting.work / f"{self.config.stem}.{self.count}"
            shutil.rmtree(directory, ignore_errors=True)
        changed = settings({f"training.{key}": value for key, value in changes.items()})
        self.setting.run_dragoman("train", self.config, "--output", directory, "--device", device, *changed)
        return directory


def steps_of(directory):
    entries = map(json.loads, (directory / "log.jsonl").read_text().splitlines())
    return [entry for entry in entries if entry["type"] == "train"]


def checksum(setting, directory):
    return json.loads(setting.run([setting.dragoman, "inspect", directory / "last.h5", "--json"]))["checksum"]


def distance(a, b):
    return abs(a - b) / max(abs(a), abs(b), 1e-9)


class Findings:
    """Numbers by name, and what is wrong with them."""

    def __init__(self, numbers):
        self.numbers, self.problems = numbers, []

    def at_most(self, name, number, bound):
        self.numbers[name] = number
        if not number <= bound:
            self.problems.append(f"{name}: {number:.3g}, at most {bound:g} is expected")

    def at_least(self, name, number, bound):
        self.numbers[name] = number
        if not number >= bound:
            self.problems.append(f"{name}: {number:.3g}, at least {bound:g} is expected")

    def equal(self, name, same):
        self.numbers[name] = same
        if not same:
            self.problems.append(f"not {name}")


def compare_steps(found, what, ours, theirs, bound):
    if not len(ours) == len(theirs) == STEPS:
        raise Failed(f"{what}: logs of {len(ours)} and {len(theirs)} steps, where {STEPS} were trained")
    far = lambda key: max(distance(a[key], b[key]) for a, b in zip(ours, theirs))
    found.at_most(f"{what}: loss", far("loss"), bound)
    return far("gradient_norm")


def compare_bits(found, what, setting, a, b):
    timeless = lambda run: [(e["step"], e["loss"], e["gradient_norm"], e["learning_rate"]) for e in steps_of(run)]
    found.equal(f"{what}: same log", timeless(a) == timeless(b))
    found.equal(f"{what}: same parameters", checksum(setting, a) == checksum(setting, b))


def compare_model(setting, runs, found):
    device = setting.device
    cpu, gpu = runs.train("cpu"), runs.train(device)
    first = [steps_of(run)[0]["loss"] for run in (cpu, gpu)]
    found.at_most("first loss", distance(*first), LOSS_AT_FIRST)
    found.at_most("gradient norm", compare_steps(found, "fp32", steps_of(cpu), steps_of(gpu), LOSS), NORM)
    compare_bits(found, "run twice", setting, gpu, runs.train(device))
    compare_bits(found, "without graphs", setting, gpu, runs.train(device, cuda_graphs="false"))
    low = "bf16" if setting.on_gpu else "auto"  # a processor may have none
    compare_steps(found, low, steps_of(cpu), steps_of(runs.train(device, precision=low)), BF16_LOSS)
    for begin, end in (("cpu", device), (device, "cpu")):
        moved = runs.train(end, runs.train(begin, max_steps=STEPS // 2))
        compare_steps(found, f"{begin} to {end}", steps_of(cpu), steps_of(moved), LOSS)
    compare_use(setting, runs.corpus, cpu, found)


def compare_use(setting, corpus, model, found):
    """Scores and translations of one checkpoint, by the CPU and by the device."""
    text = ["--source", corpus / "test.en", "--target", corpus / "test.de"]
    scores = [
        [float(line) for line in setting.run_dragoman("score", model, *text, "--device", device).split()]
        for device in ("cpu", setting.device)
    ]
    found.at_most("log-probabilities", max(distance(a, b) for a, b in zip(*scores)), LOG_PROBABILITY)
    compare_translations(setting, corpus / "test.en", model, found)


def compare_translations(setting, source, model, found):
    texts = [
        setting.run_dragoman("translate", model, "--input", source, "--device", device).splitlines()
        for device in ("cpu", setting.device)
    ]
    same = sum(a == b for a, b in zip(*texts)) / len(texts[0])
    found.at_least("same translations", same, SAME_TRANSLATIONS)


def parity(setting, results):
    problems = []
    for name, (encoder, decoder) in MODELS.items():
        found = Findings(results.setdefault(name, {}))
        _, failure = attempt(lambda: compare_model(setting, Runs(setting, name, encoder, decoder), found))
        if failure:
            found.problems.append(failure)
        setting.save()
        problems += [f"{name}: {problem}" for problem in found.problems]
    if problems:
        raise Failed("; ".join(problems))
