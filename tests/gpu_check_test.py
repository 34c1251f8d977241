"""Runs scripts/gpu_check/check.py with a program and a PyTorch that only pretend: whatever fails or is ended, what was
measured is there."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROJECT = pathlib.Path(__file__).resolve().parent.parent

# Both write down how they were called. $BROKEN is a pattern of calls that fail, $SLOW of those that take long.
PRELUDE = """#!/bin/bash
echo "$*" >> "$CALLS"
[[ -n $SLOW && $* =~ $SLOW ]] && { sleep 600; exit; }
[[ -n $BROKEN && $* =~ $BROKEN ]] && { echo "error: broken" >&2; exit 1; }
after() { local want=$1 last=; shift; for word; do [[ $last == "$want" ]] && echo "$word"; last=$word; done; }
"""
DRAGOMAN = PRELUDE + """case $1 in
  config) echo '{}' ;;
  bench) touch "$(after --batches "$@")"
    echo '{"target_tokens_per_second": 3000, "ceiling_fraction": 0.5, "gflops": 494700,
           "device_name": "cuda:0, NVIDIA H200 (140 GB)"}' ;;
  train) mkdir -p "$(after --output "$@")" ;;
  translate) [[ $* != *many* ]] || sleep 0.1 ;;
esac
"""
PYTHON = PRELUDE + """case $1 in
  -c) ;;
  *) [[ $* == *"--mode graph"* ]] && speed=2000 || speed=1000
    echo "{\\"target_tokens_per_second\\": $speed}" ;;
esac
"""
DRIVER = """#!/bin/bash
echo 81559
"""
CASES = ["small, 32000, 16000", "small, 32000, 4000", "small, 8000, 16000", "small, 8000, 4000"]


class GpuCheck(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.written = self.directory / "calls"
        self.written.touch()
        (self.directory / "bin").mkdir()
        for name, text in (("bin/dragoman", DRAGOMAN), ("python", PYTHON), ("nvidia-smi", DRIVER)):
            (self.directory / name).write_text(text)
            (self.directory / name).chmod(0o755)

    def begin(self, only, minutes=5, **environment):
        return subprocess.Popen(
            [sys.executable, PROJECT / "scripts/gpu_check/check.py", "--project", PROJECT, "--build", self.directory,
             "--device", "cuda", "--python", self.directory / "python", "--output", self.directory / "out put",
             "--minutes", str(minutes), "--only", only, "--models", "small"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"CALLS": str(self.written), "BROKEN": "", "SLOW": "",
                              "PATH": f"{self.directory}:{os.environ['PATH']}"} | environment,
        )

    def check(self, *arguments, **environment):
        """Its exit status, and what it found."""
        process = self.begin(*arguments, **environment)
        self.printed, _ = process.communicate(timeout=120)
        return process.returncode, self.found()

    def found(self):
        return json.loads((self.directory / "out put/gpu_check.json").read_text())["parts"]

    def calls(self, words):
        return [call for call in self.written.read_text().splitlines() if words in call]

    def test_compares_every_case_with_the_best_mode(self):
        status, found = self.check("speed")
        self.assertEqual((status, found["speed"]["status"]), (0, "passed"), self.printed)
        self.assertEqual(list(found["speed"]["results"]), CASES)
        for result in found["speed"]["results"].values():
            self.assertEqual((result["best_pytorch"], result["ratio"]), ("graph", 1.5))
            self.assertAlmostEqual(result["peak_fraction"], 0.5, 3)
        self.assertIn("| small | 8000 | 4000 | 3000 | 494.7 | 0.50 | 0.50 | 2000 | 1000 |", self.printed)

    def test_a_measurement_that_fails_takes_no_other_along(self):
        status, found = self.check("decoding,speed", BROKEN="bench.*vocabulary.size=32000.*tokens=4000|translate.*precision bf16")
        self.assertEqual(status, 1)
        results = found["speed"]["results"]
        self.assertEqual([name for name in CASES if "ratio" not in results[name]], [CASES[1]])
        self.assertIn("broken", results[CASES[1]]["failed"])
        self.assertEqual([key for key in found["decoding"]["results"]["small"] if "beam" in key],
                         ["fp32, beam of 1", "fp32, beam of 4"])
        self.assertIn("small, bf16: dragoman translate: ended with 1: error: broken", found["decoding"]["message"])

    def test_where_pytorch_cannot_compile_its_other_modes_count(self):
        status, found = self.check("speed", BROKEN="torch.compile")
        self.assertEqual(status, 0, self.printed)
        self.assertIn("PyTorch compiles nothing here: torch.compile: ended with 1", found["speed"]["message"])
        for result in found["speed"]["results"].values():
            self.assertEqual((result["best_pytorch"], result["ratio"]), ("eager-graph", 3))
        self.assertEqual(self.calls("--mode graph"), [])

    def test_what_there_is_no_time_for_is_left_out(self):
        status, found = self.check("speed", 0.2)
        self.assertEqual(status, 0)
        self.assertTrue(all(result["dragoman"] for result in found["speed"]["results"].values()))
        self.assertIn("runs of PyTorch were left out", found["speed"]["message"])

    def test_pytorch_compiles_beside_the_tests(self):
        self.check("machine,speed")
        self.assertEqual(len(self.calls("--memory-share")), len(CASES))
        status, found = self.check("speed", BROKEN="--memory-share")
        self.assertEqual((status, found["speed"]["results"][CASES[0]]["ratio"]), (0, 1.5), "it may work later")

    def test_nothing_goes_on_when_it_is_ended(self):
        for part, slow in (("speed", "--memory-share"), ("speed", "bench"), ("tests", "")):
            process = self.begin(part, SLOW=slow)
            self.addCleanup(process.kill)
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)
            after = len(self.calls(""))
            time.sleep(0.3)
            self.assertEqual(len(self.calls("")), after)

    def test_what_was_measured_before_it_is_ended_is_there(self):
        process = self.begin("speed", SLOW="batches.8000.4000.* --mode graph")
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 60
        while not self.calls("batches.8000.4000.jsonl --device cuda --precision bf16 --mode graph"):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 143)
        results = self.found()["speed"]["results"]
        self.assertEqual([name for name in CASES if "ratio" in results[name]], CASES[:3])
        self.assertTrue(results[CASES[3]]["dragoman"])


unittest.main()
