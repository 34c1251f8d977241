"""Checks the shape of src: who includes whom, where vendor headers are named, how long files are.

    python3 tests/layers_test.py [PROJECT]
"""

import pathlib
import re
import sys

# What a folder may include besides itself. It stands only on folders above it in this table, so
# there is no cycle. config, data and eval know no model and no tensor. What autograd and nn read of
# config are the enums of config/choices.h.
ENGINE = ["core", "tensor", "autograd", "ops"]
MODELS = [*ENGINE, "hdf5", "nn", "config", "data", "models"]
RUNS = [*MODELS, "eval", "decode", "train", "run"]
LAYERS = {
    "core": [],
    "hdf5": ["core"],
    "config": ["core"],
    "tensor": ["core"],
    "autograd": ["core", "config", "tensor"],
    "ops": ["core", "tensor", "autograd"],
    "nn": [*ENGINE, "config"],
    "data": ["core", "hdf5", "config"],
    "models": MODELS,
    "eval": ["core"],
    "decode": MODELS,
    "train": MODELS,
    "run": RUNS,
    "report": ["core", "eval"],
    "study": [*RUNS, "report"],
    "cli": [*RUNS, "report", "study"],
}

# Each vendor stands behind one folder's interface: a pattern of a line, and what may match it.
VENDORS = [
    (r"#\s*pragma\s+omp|_Pragma\(\s*\"omp", ("tensor/cpu/launch_cpu.h", "tensor/lane.h")),
    (r"#\s*include\s*[<\"]omp\.h", "tensor/cpu/"),
    (r"#\s*include\s*[<\"](oneapi/)?dnnl", "tensor/cpu/"),
    (r"#\s*include\s*[<\"](cuda|cublas)", "tensor/gpu/"),
    (r"#\s*include\s*[<\"]hdf5\.h", "hdf5/"),
    (r"#\s*include\s*[<\"]spdlog/", "core/"),
    (r"#\s*include\s*[<\"]yaml-cpp/", "config/"),
    (r"#\s*include\s*[<\"]sentencepiece", "data/"),
    (r"#\s*include\s*[<\"]CLI/", "cli/"),
]

LONGEST_FILE = 450  # Lines. The aim is 400.


def problems_of_line(source, path, line):
    """What is wrong with one line of the file `path`, relative to the folder `source`."""
    folder = path.parts[0]
    include = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
    if include:
        name = include[1]
        other = name.split("/")[0]
        if not (source / name).is_file():
            yield f'"{name}" is no file of src: write "folder/file.h"'
        elif other != folder and other not in LAYERS[folder]:
            below = ", ".join(LAYERS[folder]) or "nothing"
            yield f'includes "{name}", but {folder} stands on {below} only'
    for pattern, home in VENDORS:
        if re.match(r"\s*(" + pattern + ")", line) and not path.as_posix().startswith(home):
            yield f"'{line.strip()}' belongs in {home} of src only"


def problems_of(source):
    """Everything that is wrong in the folder `source`."""
    for file in sorted(source.rglob("*")):
        if file.suffix not in (".h", ".cpp", ".cu"):
            continue
        path = file.relative_to(source)
        if path.parts[0] not in LAYERS:
            yield f"src/{path}: tests/layers_test.py does not know its folder: add it to LAYERS"
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            for problem in problems_of_line(source, path, line):
                yield f"src/{path}:{number}: {problem}"
        if len(lines) > LONGEST_FILE:
            yield f"src/{path}: {len(lines)} lines, at most {LONGEST_FILE}: split it"


def main():
    project = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    source = project / "src"
    if not any(source.rglob("*.cpp")):
        sys.exit(f"{source} holds no sources: which folder is the project?")
    problems = list(problems_of(source))
    if problems:
        sys.exit("\n".join(problems))
    print("the layers hold")


if __name__ == "__main__":
    main()
