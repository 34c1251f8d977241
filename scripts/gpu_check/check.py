"""Runs the parts of the check, each within its time, and writes what they found; see gpu_check.sh."""

import argparse
import json
import pathlib
import signal
import sys
import tempfile
import time
import traceback

import engine
import parity
import quality
import report
import speed
from setting import Failed, Setting

# Names, seconds that each may take on a GPU beside others, and functions that fill in the results.
PARTS = {
    "machine": (60, engine.machine),
    "tests": (100, engine.tests),
    "parity": (90, parity.parity),
    "training": (210, quality.training),
    "decoding": (120, speed.decoding_speed),
    "speed": (float("inf"), speed.training_speed),  # what is left
}
SLOWER_ON_CPU = 4


def run_part(setting, name, models, alone):
    """The part's status, message and results; whatever goes wrong, the others go on. Alone, it has all the time."""
    seconds, check = PARTS[name]
    if alone:
        seconds = float("inf")
    setting.begin_part(seconds if setting.on_gpu else SLOWER_ON_CPU * seconds)
    part = {"status": "passed", "message": "", "results": {}}
    begin = time.monotonic()
    arguments = [models] if check in (speed.decoding_speed, speed.training_speed) else []
    try:
        part["message"] = check(setting, part["results"], *arguments) or ""
    except Failed as failure:
        part |= {"status": "failed", "message": str(failure)}
    except Exception as error:  # a mistake in the check itself, or a reply of the program that it cannot read
        part |= {"status": "failed", "message": f"{type(error).__name__}: {error}"}
        traceback.print_exc()
    part["seconds"] = time.monotonic() - begin
    return part


def write(path, text):
    path.write_text(text, encoding="utf-8")


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
    with tempfile.TemporaryDirectory(prefix="gpu_check.") as work:
        setting = Setting(arguments.project, arguments.build, arguments.device, arguments.python, arguments.data,
                          work, arguments.minutes)
        for name in PARTS:
            if name not in names:
                continue
            print(f"{name} ...", flush=True)
            part = checked["parts"][name] = run_part(setting, name, models, len(names) == 1)
            print(f"{name}: {part['status']} in {part['seconds']:.0f} s {part['message']}", flush=True)
            # After each part, so that what was found is there whatever becomes of the next.
            write(output / "gpu_check.json", json.dumps(checked, indent=2) + "\n")
            write(output / "gpu_check.md", report.text(checked))
    print(f"\n{report.text(checked)}\nwritten to {output}/gpu_check.md and {output}/gpu_check.json")
    sys.exit(any(part["status"] == "failed" for part in checked["parts"].values()))


main()
