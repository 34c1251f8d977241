#!/usr/bin/env python3
"""Measures what can be measured by a command, and writes docs/measurements.md.

    scripts/measure.py [--only NAME...] [--build DIRECTORY] [--data DIRECTORY]

Each measurement is kept with its command, machine, commit and date in docs/measurements.json, from
which the page is written. With --only some are made, and the others stay what they were: `--only bench`
is all whose name begins so. --list names them.

The program is that of the build, build/release if nothing else is said, which is brought up to date
first. Another build is taken as it is; the commit is that of the checkout in which it lies. Measure on a
machine that does nothing else: what else it did is told beside the figures, as the load before.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

PROJECT = pathlib.Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "measurements.md"
KEPT = PROJECT / "docs" / "measurements.json"
CORPUS = "data/embedded"
RUN = "runs/measure"  # what `quickstart` trains and `translate` uses


class Failed(Exception):
    """A measurement that could not be made, and why."""


class Bench:
    """Where a measurement runs: the build and the corpus."""

    def __init__(self, build, data):
        self.build, self.data, self.commands = build, data, []

    def run(self, *arguments, **options):
        """The output of a command of the project, which is kept for the page."""
        arguments = list(map(str, arguments))
        self.commands.append(" ".join(arguments))
        print("$", self.commands[-1], file=sys.stderr, flush=True)
        if arguments[0] == "build/release/dragoman":
            arguments[0] = str(self.build / "dragoman")
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=PROJECT, **options)
        if done.returncode != 0:
            raise Failed((done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1])
        return done.stdout

    def dragoman(self, *arguments):
        return self.run("build/release/dragoman", *arguments)


# Measurements: each returns its figures ---------------------------------------------------------------


def count_tests(bench):
    bench.commands.append("ctest --preset release --show-only")
    done = subprocess.run(["ctest", "--test-dir", bench.build, "--show-only=json-v1"], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    names = [test["name"] for test in json.loads(done.stdout)["tests"]]
    missing = [name for name in names if name.endswith("_NOT_BUILT")]
    if missing or not names:
        raise Failed(f"{len(missing)} test programs are not built: build all of {bench.build}")
    return {"tests": len(names)}


def count_lines(bench):
    files = [file for file in bench.run("git", "ls-files", "src", "tests", "scripts", "examples").splitlines()
             if file.endswith((".h", ".cpp", ".py", ".sh", ".js", ".css", ".html", ".awk"))]
    lines = {}
    for file in files:
        top, room = (file.split("/") + [""])[:2]
        where = f"src/{room}" if top == "src" else top
        lines[where] = lines.get(where, 0) + len((PROJECT / file).read_text(encoding="utf-8").splitlines())
    return {"lines": lines}


def bench_training(bench, config):
    """Speeds in fp32, and in bf16 where the processor multiplies it."""

    def measured(precision):
        found = json.loads(bench.dragoman("bench", "train", f"configs/benchmark/{config}.yaml", "--steps", 4, "--passes", 5,
                                          "--device", "cpu", "--json", "--set", f"data.directory={bench.data}",
                                          "--set", f"training.precision={precision}"))
        return {"precision": found["precision"], "speed": found["target_tokens_per_second"],
                "slowest": found["slowest_target_tokens_per_second"],
                "fastest": found["fastest_target_tokens_per_second"],
                "ceiling": found["gflops"] / found["ceiling_gflops"],
                "memory": found["peak_memory_bytes"] / 2**20, "threads": found["threads"]}

    rows = [measured("auto")]
    if rows[0]["precision"] != "fp32":
        rows.insert(0, measured("fp32"))
    return {"rows": rows}


def train_quickstart(bench):
    """A training of 1000 steps, whose BLEU does not depend on the speed of the machine."""
    shutil.rmtree(PROJECT / RUN, ignore_errors=True)
    begun = time.monotonic()
    bench.dragoman("train", "configs/quickstart.yaml", "--output", RUN, "--device", "cpu",
                   *("--set", "training.max_steps=1000", "--set", "training.max_minutes=0"),
                   *("--set", "training.validate_every=1000"))
    seconds = time.monotonic() - begun
    result = json.loads(bench.dragoman("evaluate", RUN, "--source", f"{CORPUS}/test.en", "--reference",
                                       f"{CORPUS}/test.de", "--json"))
    return {"seconds": seconds, "bleu": result["score"]}


def translate(bench):
    """The embedded test set by that model: the fastest of three runs, start and loading included."""
    if not (PROJECT / RUN / "best.h5").exists():
        raise Failed(f"needs {RUN}, which --only quickstart makes")
    source = PROJECT / CORPUS / "test.en"
    sentences = len(source.read_text(encoding="utf-8").splitlines())
    rows = []
    for batch in (64, 1):
        best = float("inf")
        for _ in range(3):
            begun = time.monotonic()
            bench.dragoman("translate", RUN, "--input", f"{CORPUS}/test.en", "--output", f"{RUN}/test.output.de",
                           "--beam-size", 5, "--batch-sentences", batch, "--device", "cpu")
            best = min(best, time.monotonic() - begun)
        del bench.commands[-2:]
        rows.append({"batch": batch, "speed": sentences / best})
    return {"rows": rows}


CONFIGS = sorted(path.stem for path in (PROJECT / "configs" / "benchmark").glob("*.yaml"))
MEASUREMENTS = {
    "tests": count_tests,
    "lines": count_lines,
    "quickstart": train_quickstart,
    "translate": translate,
    **{f"bench/{config}": lambda bench, config=config: bench_training(bench, config) for config in CONFIGS},
}

# The page ---------------------------------------------------------------------------------------------


def machine():
    """The processor as far as its speed depends on it; the name alone tells little of a virtual one."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)$", text, re.MULTILINE)
    flags = set(flags[1].split()) if flags else set()
    has = ", ".join(flag.upper() for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags)
    return f"{len(os.sched_getaffinity(0))} cores, {name[1] if name else 'unknown processor'} ({has or 'no AVX2'})"


def commit_of(directory):
    """The commit of a checkout; with a plus where its sources were changed since."""
    git = ["git", "-C", str(directory)]
    commit = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
    top = subprocess.run([*git, "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True)
    changed = subprocess.run(["git", "-C", top.stdout.strip(), "status", "--porcelain", "src", "tests", "CMakeLists.txt"],
                             capture_output=True, text=True, check=True)
    return commit.stdout.strip() + ("+" if changed.stdout else "")


class Page:
    def __init__(self, kept):
        self.kept, self.machines, self.lines = kept, [], []

    def add(self, *lines):
        self.lines += lines

    def when(self, name, timed=True):
        """Date, commit and, of what is a matter of speed, the machine and its load."""
        entry = self.kept[name]
        if not timed:
            return f"{entry['date']}, {entry['commit']}"
        if entry["machine"] not in self.machines:
            self.machines.append(entry["machine"])
        number = self.machines.index(entry["machine"]) + 1
        return f"{entry['date']}, {entry['commit']}, machine {number}, load {entry['load']:.1f}"

    def commands(self, *names):
        for name in names:
            self.add(*(f"    {command}" for command in self.kept[name]["commands"]))

    def source(self):
        names = [name for name in ("tests", "lines") if name in self.kept]
        if not names:
            return
        self.add("", "## The source", "")
        self.commands(*names)
        if "tests" in self.kept:
            self.add("", f"{self.kept['tests']['tests']} tests in a build without GPUs "
                     f"({self.when('tests', timed=False)}).")
        if "lines" in self.kept:
            lines = self.kept["lines"]["lines"]
            library = sum(count for room, count in lines.items() if room.startswith("src"))
            self.add("", f"Lines, comments and blank ones included ({self.when('lines', timed=False)}): {library} in src.", "",
                     "| folder | lines |", "|---|---|", *(f"| {room} | {count} |" for room, count in lines.items()))

    def bench(self):
        names = [name for name in self.kept if name.startswith("bench/")]
        if not names:
            return
        self.add("", "## Training", "")
        self.commands(*names)
        self.add("", "Target tokens a second of the pass of median speed (slowest to fastest); its share of the speed of one",
                 "large matrix product, all of the time counted; and the peak of the process's memory.", "",
                 "| configuration | precision | tokens/s | of the ceiling | MiB | threads | measured |",
                 "|---|---|---|---|---|---|---|")
        for name in names:
            for row in self.kept[name]["rows"]:
                self.add(f"| {name.removeprefix('bench/')} | {row['precision']} | {row['speed']:.0f} ({row['slowest']:.0f} to "
                         f"{row['fastest']:.0f}) | {row['ceiling']:.2f} | {row['memory']:.0f} | {row['threads']} | "
                         f"{self.when(name)} |")

    def quickstart(self):
        names = [name for name in ("quickstart", "translate") if name in self.kept]
        if not names:
            return
        self.add("", "## The embedded corpus", "")
        self.commands(*names)
        if "quickstart" in self.kept:
            entry = self.kept["quickstart"]
            self.add("", f"Training for 1000 steps took {entry['seconds']:.0f} s, preparing the corpus and validation included, "
                     f"and gave BLEU {entry['bleu']:.1f} on the test set ({self.when('quickstart')}).")
        if "translate" in self.kept:
            rows = self.kept["translate"]["rows"]
            speeds = ", ".join(f"{row['speed']:.0f} with {row['batch']} at a time" for row in rows)
            self.add("", f"Translating the test set by that model with a beam of 5, sentences a second, start and loading "
                     f"included, the fastest of three runs: {speeds} ({self.when('translate')}).")

    def text(self):
        self.add("# Measurements", "",
                 "Written by `scripts/measure.py` from [measurements.json](measurements.json); do not edit. Each figure has the",
                 "date, the commit of the program (with a plus: changed since) and, where it is one of speed, the machine and",
                 "its load before: on a machine that does nothing else that is near 0. [speed.md](speed.md) and",
                 "[studies.md](studies.md) have what takes other programs, other machines or hours.")
        self.source()
        self.bench()
        self.quickstart()
        if self.machines:
            self.add("", "## Machines", "", *(f"{i}. {name}" for i, name in enumerate(self.machines, start=1)))
        absent = [name for name in MEASUREMENTS if name not in self.kept]
        if absent:
            self.add("", "## Not measured yet", "", f"    scripts/measure.py --only {' '.join(absent)}")
        return "\n".join(self.lines) + "\n"


def chosen(only):
    names = [name for name in MEASUREMENTS if only is None or any(name.startswith(prefix) for prefix in only)]
    for prefix in only or []:
        if not any(name.startswith(prefix) for name in MEASUREMENTS):
            sys.exit(f"measure.py: no measurement begins with '{prefix}': there are {', '.join(MEASUREMENTS)}")
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--build", type=pathlib.Path, metavar="DIRECTORY")
    parser.add_argument("--data", default="data/multi30k", metavar="DIRECTORY", help="Multi30k, for bench")
    options = parser.parse_args()
    names = chosen(options.only)
    if options.list:
        print("\n".join(names))
        return
    build = options.build or PROJECT / "build" / "release"
    if options.build is None and names != ["lines"]:
        targets = [] if "tests" in names else ["--target", "dragoman"]
        for command in (["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release", *targets]):
            subprocess.run(command, cwd=PROJECT, check=True, stdout=sys.stderr)

    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    failed = False
    for name in names:
        bench, load = Bench(build.resolve(), options.data), os.getloadavg()[0]
        try:
            figures = MEASUREMENTS[name](bench)
        except Failed as failure:
            print(f"measure.py: {name}: {failure}", file=sys.stderr)
            failed = True
            continue
        kept[name] = {"date": datetime.date.today().isoformat(), "machine": machine(), "load": round(load, 1),
                      "commit": commit_of(PROJECT if name == "lines" else build), "commands": bench.commands, **figures}
        # What was measured so far stays, whatever becomes of the rest.
        kept = {known: kept[known] for known in MEASUREMENTS if known in kept}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(Page(kept).text(), encoding="utf-8")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
