"""What every part of the check stands on: the program, the device, the clock, and running commands."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import traceback


class Failed(Exception):
    """A check that was made and not passed, or a command that failed."""


class Setting:
    """`save` is called after each measurement, so that it is there whatever becomes of the next."""

    def __init__(self, project, build, device, python, data, work, minutes, save):
        self.save, self.running, self.ended = save, set(), False
        self.project, self.build = pathlib.Path(project), pathlib.Path(build)
        self.device, self.python = device, python
        self.data = pathlib.Path(data).resolve() if data else None
        self.work = pathlib.Path(work)
        bundled = (self.build / "bin").is_dir()
        self.dragoman = self.build / ("bin/dragoman" if bundled else "dragoman")
        self.tests = self.build / ("bin" if bundled else "tests")
        self.deadline = time.monotonic() + 60 * minutes
        self.part_deadline = self.deadline
        self.environment = os.environ | {
            "DRAGOMAN_PROJECT": str(self.project),
            "DRAGOMAN_PROGRAM": str(self.dragoman),
            "OMP_WAIT_POLICY": "passive",  # tests run side by side
        }
        # For our programs only: PyTorch brings libraries of its own.
        if libraries := os.environ.get("DRAGOMAN_LIBRARIES"):
            others = os.environ.get("LD_LIBRARY_PATH")
            self.environment["LD_LIBRARY_PATH"] = f"{libraries}:{others}" if others else libraries

    @property
    def on_gpu(self):
        return self.device != "cpu"

    def begin_part(self, seconds):
        """Gives the part that begins so many seconds, where there are so many."""
        self.part_deadline = min(self.deadline, time.monotonic() + seconds)

    def seconds_left(self):
        return self.part_deadline - time.monotonic()

    def run(self, command, limit=600, program=None, environment=None, beside=False):
        """What a command printed on its standard output; Failed with its last words, or out of time, which is the
        part's unless it runs `beside` the parts. `environment` is for our programs, beside their own."""
        command = [str(word) for word in command]
        limit = min(limit, (self.deadline - time.monotonic()) if beside else self.seconds_left())
        if limit < 1:
            raise Failed("no time was left")
        if self.ended:
            raise Failed("the check was ended")
        name = program or " ".join([pathlib.Path(command[0]).name, *command[1:3]])
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=self.project, env=None if command[0] == self.python else self.environment | (environment or {}),
            start_new_session=True,
        )
        self.running.add(process)
        if self.ended:  # meanwhile
            self.end(process)
        try:
            out, error = process.communicate(timeout=limit)
        except BaseException as end:  # out of time, or the check itself is ended
            self.end(process)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                pass  # a driver that hangs keeps it
            if not isinstance(end, subprocess.TimeoutExpired):
                raise
            raise Failed(f"{name}: not done after {limit:.0f} s") from None
        finally:
            self.running.discard(process)
        if process.returncode != 0:
            words = (error.strip() or out.strip() or "it said nothing").splitlines()
            raise Failed(f"{name}: ended with {process.returncode}: {' / '.join(words[-4:])[-600:]}")
        return out

    @staticmethod
    def end(process):
        """With the processes that it started."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended by itself

    def end_all(self):
        """Ends what is running, in all threads, and lets nothing begin any more."""
        self.ended = True
        for process in list(self.running):
            self.end(process)

    @contextlib.contextmanager
    def ending_all(self):
        """Where threads would go on when the check is ended: they are ended before they are waited for."""
        try:
            yield
        except (SystemExit, KeyboardInterrupt):
            self.end_all()
            raise

    def run_dragoman(self, verb, *arguments, limit=600, beside=False):
        """A verb that takes a device, on the one that is checked unless another is given."""
        device = [] if "--device" in arguments else ["--device", self.device]
        return self.run([self.dragoman, *verb.split(), *arguments, *device], limit, f"dragoman {verb}", beside=beside)

    def write_config(self, name, config):
        """A configuration's file: JSON, which is YAML as well."""
        path = self.work / f"{name}.yaml"
        path.write_text(json.dumps(config, indent=1))
        return path


def attempt(work):
    """What `work` returns, and None; or None, and what went wrong, be it a mistake of the check itself or a reply that
    it cannot read: what else is measured goes on."""
    try:
        return work(), None
    except Failed as failure:
        return None, str(failure)
    except Exception as error:
        traceback.print_exc()
        return None, f"{type(error).__name__}: {error}"


def settings(values):
    """The arguments `--set key=value`."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
