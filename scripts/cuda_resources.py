#!/usr/bin/env python3
"""Prints the registers, stack and spills of every GPU kernel of some programs, those that spill first.

    cmake --build --preset cuda --target cuda_resources
    scripts/cuda_resources.py PROGRAM... [--architecture 90]

Takes the intermediate code out of the programs (cuobjdump) and compiles it again (ptxas -v); needs no GPU.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def tool(name):
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/cuda/bin"])
    return shutil.which(name, path=path) or sys.exit(
        f"cuda_resources.py: {name} is not in PATH; it comes with the CUDA Toolkit (cuda-cuobjdump, cuda-nvcc)"
    )


def compiled(program, architecture):
    """What ptxas tells of the kernels."""
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(
            [tool("cuobjdump"), "--extract-ptx", "all", program.resolve()],
            cwd=work, check=True, stdout=subprocess.DEVNULL,
        )
        for file in sorted(pathlib.Path(work).glob("*.ptx")):
            command = [tool("ptxas"), "-v", f"-arch=sm_{architecture}", "-o", os.devnull, file]
            yield subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True).stderr


KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


def short(name):
    """What a kernel runs, without the arguments, which repeat it."""
    name = re.sub(r"dragoman::launch::gpu::detail::|dragoman::|\(anonymous namespace\)::|^void ", "", name)
    depth = 0
    for at, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0:
            return name[:at]
    return name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("programs", nargs="+", type=pathlib.Path)
    parser.add_argument("--architecture", type=int, default=90)
    arguments = parser.parse_args()
    kernels = {}  # by name: programs have many in common
    for program in arguments.programs:
        for text in compiled(program, arguments.architecture):
            kernels |= {found["name"]: found for found in KERNEL.finditer(text)}
    if not kernels:
        sys.exit("cuda_resources.py: there is no intermediate code of kernels in these programs")
    names = "\n".join(kernels)
    names = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True).stdout
    rows = []
    for kernel, name in zip(kernels.values(), names.splitlines()):
        shared = re.search(r"(\d+) bytes smem", kernel["rest"])
        numbers = [int(kernel[key]) for key in ("stores", "loads", "registers", "stack")]
        rows.append([*numbers, int(shared[1]) if shared else 0, short(name)])
    rows.sort(key=lambda row: ([-number for number in row[:4]], row[-1]))
    print("| spilled, bytes | read back | registers | stack, bytes | shared, bytes | kernel |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    spilling = sum(row[0] > 0 or row[1] > 0 for row in rows)
    print(f"\n{len(rows)} kernels for sm_{arguments.architecture}; {spilling} spill registers, "
          f"{sum(row[3] > 0 for row in rows)} have a stack")


main()
