"""Runs the parts of the check, each within its time, and writes what they found; see gpu_check.sh."""

import argparse
import json
import os
import pathlib
import signal
import sys
import tempfile
import time

import engine
import parity
import quality
import report
import speed
from setting import Setting, attempt

# Names, seconds that each may take on a GPU beside others, and functions that fill in the results.
PARTS = {
    "machine": (60, engine.machine),
    "tests": (110, engine.tests),
    "parity": (110, parity.parity),
    "training": (210, quality.training),
    "decoding": (100, speed.decoding_speed),
    "speed": (float("inf"), speed.training_speed),  # what is left
}
BESIDE = {"tests", "parity"}  # which PyTorch may compile, since they take no times
SLOWER_ON_CPU = 4


def run_part(setting, name, part, alone, *arguments):
    """Fills in the part's status, message and results; whatever goes wrong, the others go on. Alone, it has all the
    time."""
    seconds, check = PARTS[name]
    if alone:
        seconds = float("inf")
    setting.begin_part(seconds if setting.on_gpu else SLOWER_ON_CPU * seconds)
    begin = time.monotonic()
    message, failure = attempt(lambda: check(setting, part["results"], *arguments))
    part |= {"status": "failed" if failure else "passed", "message": failure or message or "",
             "seconds": time.monotonic() - begin}


def write(path, text):
    """At once: whoever ends the check finds the file before or the file after."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def main():
    parser = argparse.ArgumentParser(prog="gpu_check.sh", add_help=False)
    parser.add_argument("--project", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--data")
    parser.add_argument("--output", required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--models", default=",".join(speed.CONFIGS))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by an exception, which ends what was started
    names, models = arguments.only.split(","), arguments.models.split(",")
    unknown = [name for name in names if name not in PARTS] + [name for name in models if name not in speed.CONFIGS]
    if unknown:
        print(f"gpu_check.sh: there is no {', '.join(unknown)}; parts are {', '.join(PARTS)}, "
              f"models {', '.join(speed.CONFIGS)}", file=sys.stderr)
        sys.exit(2)
    output = pathlib.Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    checked = {"began": time.strftime("%Y-%m-%d %H:%M:%S %z"), "device": arguments.device, "parts": {}}

    def save():
        write(output / "gpu_check.json", json.dumps(checked, indent=2) + "\n")
        write(output / "gpu_check.md", report.text(checked))

    save()
    with tempfile.TemporaryDirectory(prefix="gpu_check.", ignore_cleanup_errors=True) as work:
        setting = Setting(arguments.project, arguments.build, arguments.device, arguments.python, arguments.data,
                          work, arguments.minutes, save)
        run = [name for name in PARTS if name in names]
        ahead = speed.CompileAhead(setting, models) if setting.on_gpu and "speed" in run else None
        no_compiling = None
        try:
            for name in run:
                if ahead and name not in BESIDE | {"machine"}:
                    no_compiling, ahead = ahead.finish(all_of_it=not BESIDE.intersection(run)), None
                print(f"{name} ...", flush=True)
                part = checked["parts"][name] = {"status": "not done", "message": "", "results": {}, "seconds": 0}
                more = {"decoding": [models], "speed": [models, no_compiling]}.get(name, [])
                run_part(setting, name, part, len(run) == 1, *more)
                print(f"{name}: {part['status']} in {part['seconds']:.0f} s {part['message']}", flush=True)
                save()
        finally:
            if ahead:
                ahead.abandon()
            setting.end_all()
    print(f"\n{report.text(checked)}\nwritten to {output}/gpu_check.md and {output}/gpu_check.json")
    sys.exit(any(part["status"] == "failed" for part in checked["parts"].values()))


main()
