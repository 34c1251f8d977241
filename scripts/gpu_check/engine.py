"""The machine, and the tests of the engine and of models."""

import concurrent.futures
import json
import os
import platform
import re
import subprocess

from setting import Failed

# The longest first. Each runs on every device that is there; what is for a GPU alone skips itself.
PARTS = {"op_reference": 5, "models": 2}  # that are run side by side
PROGRAMS = ["trainer", "op_reference", "run", "models", "decode", "search", "concurrent", "train", "updater", "step_graphs", "tensor",
            "mixed_precision", "attention", "ops", "autograd"]
ON_GPU = re.compile("cuda|gpu", re.IGNORECASE)


def first_line(command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip().splitlines()[0] if result.returncode == 0 and result.stdout.strip() else ""


def machine(setting, results):
    query = "name,memory.total,driver_version,compute_cap,clocks.max.sm,power.limit"
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    results |= {
        "gpu": first_line(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "dragoman": setting.run([setting.dragoman, "--version"]).strip(),
        "pytorch": first_line([setting.python, "-c", "import torch; print(torch.__version__)"]),
        "python": platform.python_version(),
        "device": setting.device,
    }


def run_tests(setting, name, part):
    """Counts by outcome, and the names of what failed, of a part of a program's tests."""
    program, report = setting.tests / f"{name}_test", setting.work / f"{name}.{part}.tests.json"
    if not program.exists():
        raise Failed(f"{program} was not built")
    parts = {"GTEST_TOTAL_SHARDS": str(PARTS.get(name, 1)), "GTEST_SHARD_INDEX": str(part)}
    error = None
    try:
        setting.run([program, f"--gtest_output=json:{report}", "--gtest_brief=1"], environment=parts)
    except Failed as failure:
        error = failure
    if not report.exists():  # it did not come to its end
        raise error or Failed(f"{program} wrote no report")
    counts = {"passed": 0, "skipped": 0, "on_gpu": 0, "failed": []}
    for suite in json.loads(report.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            full = f"{suite['name']}.{test['name']}"
            if test["result"] == "SKIPPED":
                counts["skipped"] += 1
            elif "failures" in test:
                counts["failed"].append(full)
            else:
                counts["passed"] += 1
                counts["on_gpu"] += bool(ON_GPU.search(full + test.get("value_param", "")))
    return counts


def tests(setting, results):
    workers = max(1, min(8, len(os.sched_getaffinity(0)) // 2))
    problems, programs = [], results.setdefault("programs", {})
    with concurrent.futures.ThreadPoolExecutor(workers) as pool, setting.ending_all():
        runs = [(name, pool.submit(run_tests, setting, name, part))
                for name in PROGRAMS for part in range(PARTS.get(name, 1))]
        for name, run in runs:
            try:
                counts = run.result()
                problems += counts["failed"]
                of_all = programs.setdefault(name, {key: type(count)() for key, count in counts.items()})
                for key, count in counts.items():
                    of_all[key] += count
            except Failed as failure:
                problems.append(str(failure))
    for count in ("passed", "skipped", "on_gpu"):
        results[count] = sum(program[count] for program in programs.values())
    if setting.on_gpu and results["on_gpu"] == 0:
        problems.append("no test ran on the GPU")
    if problems:
        raise Failed("; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if len(problems) > 10 else ""))
