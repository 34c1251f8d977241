"""Checks that a program built with CUDA has device code for every operation of src/ops/ops.h.

    python3 tests/cuda_kernels_test.py build/cuda/tests/op_reference_test . 90     the architectures of the build

Reads the kernels from the program itself; needs no GPU. --list prints them.
"""

import pathlib
import re
import struct
import subprocess
import sys

FATBIN, CUBIN = 0xBA55ED50, 2  # the start of a collection of device code; machine code in it

# What an operation is run by, where that is not a kernel made in the function of its name: patterns
# for the kernels' names, all of which must be there; a name of a library for what it calls.
UNARY = (
    r"map_kernel<.*UnaryForward<.*{0}, float, float>",
    r"map_kernel<.*UnaryBackward<.*{0}, float, float, .*GradientWriter>",
)
GATED = (
    r"rows_kernel<.*GatedForward<.*{0}, float, float>",
    r"rows_kernel<.*GatedBackward<.*{0}, float, float, .*GradientWriter>",
)
PRODUCT = "library:cublasLtMatmul"
BIAS = r"sum_rows_kernel<.*Elements<float>"
NORM = r"launch.*rows_kernel<.*NormaliseRow<float, .*AsItIs>", r"held_rows_kernel<.*NormaliseRow<", r"rows_kernel<.*WriteRowGradient<float>", r"held_gradients_kernel<.*WriteRowGradient<"
ADD_NORM = r"rows_kernel<.*NormaliseRow<float, .*AddRow<float>", r"rows_kernel<.*SumGradient<float, .*GradientWriter>", r"held_gradients_kernel<.*SumGradient<"
WITH = lambda patterns, name: [pattern.replace("{0}", name) for pattern in patterns]
KERNELS = {
    "add": [r"map_kernel<.*::Add>"],
    "relu": WITH(UNARY, "Relu"),
    "gelu": WITH(UNARY, "Gelu"),
    "silu": WITH(UNARY, "Silu"),
    "tanh": WITH(UNARY, "Tanh"),
    "sigmoid": WITH(UNARY, "Sigmoid"),
    "glu": WITH(GATED, "Sigmoid"),
    "swiglu": WITH(GATED, "Silu"),
    "geglu": WITH(GATED, "Gelu"),
    "dropout": [r"map_random_kernel<.*UnaryForward<.*Identity, float, float>", r"map_random_kernel<.*Scaled<"],
    "concat_columns": [r"rows_kernel<.*CopyColumns<float>", r"rows_kernel<.*add_columns\("],
    "slice_columns": [r"rows_kernel<.*CopyColumns<float>", r"rows_kernel<.*add_columns\("],
    "concat_rows": [r"map_kernel<.*Convert<float, float>", r"map_kernel<.*WriteEach<float>"],
    "split_rows": [r"map_kernel<.*Convert<float, float>", r"map_kernel<.*WriteEach<float>"],
    "gather_rows": [r"rows_kernel<.*GatherRow<float, float>", r"_kernel<dragoman::gather_rows\("],
    "permute_rows": [r"rows_kernel<.*PermuteRow<.*Write<float>", r"rows_kernel<.*PermuteRow<.*GradientWriter>"],
    "matmul": [PRODUCT],
    "linear": [PRODUCT, BIAS],
    "step_linear": [PRODUCT, BIAS],
    "feed_forward": [PRODUCT, BIAS, r"sum_rows_kernel<.*GateAndRead<float>", r"sum_rows_kernel<.*GateAndRead<dragoman::Bf16>"],
    "layer_norm": [*NORM, r"sum_rows_kernel<.*GainGradient"],
    "rms_norm": [*NORM, r"sum_rows_kernel<.*GainGradient"],
    "add_layer_norm": [*ADD_NORM, r"sum_rows_kernel<.*GainGradient"],
    "add_rms_norm": [*ADD_NORM, r"sum_rows_kernel<.*GainGradient"],
    "attention": [rf"tasks_kernel<.*Attention{kind}<{types}>" for kind in ("Forward", "Step", "Backward")
                  for types in ("float, float", "dragoman::Bf16, dragoman::Bf16")]
    + [r"attention_step_kernel<.*AttentionStep<float, float>", r"attention_step_kernel<.*AttentionStep<dragoman::Bf16, dragoman::Bf16>"]
    + [r"flash::forward_kernel<", r"flash::backward_kernel<", r"flash::short_backward_kernel<"],
    "maxout": [r"map_kernel<.*dragoman::maxout\(", r"map_kernel<.*MaxoutBackward<"],
    "add_rows": [r"rows_kernel<.*AddRowOfTable>", r"rows_kernel<.*MaskRow>", r"scatter_few_kernel<.*ScaledGradient>"],
    "cross_entropy": [PRODUCT, BIAS, r"rows_kernel<.*RowLoss<float, float>", r"row_loss_kernel<.*RowLoss<float, float>", r"row_loss_kernel<.*RowLoss<dragoman::Bf16, dragoman::Bf16>", r"rows_kernel<.*ScaleRow<float>"],
    "gru_cell": [r"rows_kernel<.*GruForward<float, ", r"rows_kernel<.*GruBackward<float, float>"],
    "lstm_cell": [r"rows_kernel<.*LstmForward<float, ", r"rows_kernel<.*LstmBackward<float, float>"],
    "additive_attention": [r"tasks_kernel<.*AdditiveForward<float, float>", r"tasks_kernel<.*AdditiveBackward<float>",
                           r"tasks_kernel<.*AdditiveSentence<float>"],
}


def operations(project):
    """What is declared with a tape as its first argument."""
    header = (project / "src/ops/ops.h").read_text()
    return sorted(set(re.findall(r"(\w+)\(Tape& tape", header)))


def patterns_of(operation):
    return KERNELS.get(operation, [rf"_kernel<dragoman::{operation}\(dragoman::Tape&"])


def kernels_of_cubin(cubin):
    """The kernels of an ELF file of machine code: each has a section of its own."""
    if cubin[:4] != b"\x7fELF":
        sys.exit("cuda_kernels_test.py: the machine code is compressed; build without nvcc's -compress-all")
    (sections,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    header = lambda index: struct.unpack_from("<IIQQQ", cubin, sections + index * size)
    strings = header(names)[4]
    for index in range(count):
        begin = strings + header(index)[0]
        name = cubin[begin:cubin.index(b"\0", begin)].decode()
        if name.startswith(".text."):
            yield name[len(".text."):]


def kernels_by_architecture(program):
    """{90: {mangled names}} of all the machine code in a program."""
    found = {}
    at = program.find(struct.pack("<I", FATBIN))
    while at >= 0:
        version, header_size, size = struct.unpack_from("<HHQ", program, at + 4)
        begin, end = at + header_size, at + header_size + size
        if version != 1 or end > len(program):  # these four bytes stand for something else
            at = program.find(struct.pack("<I", FATBIN), at + 4)
            continue
        while begin < end:
            kind, _, header_size, size = struct.unpack_from("<HHIQ", program, begin)
            (architecture,) = struct.unpack_from("<I", program, begin + 28)
            if kind == CUBIN:
                names = kernels_of_cubin(program[begin + header_size:begin + header_size + size])
                found.setdefault(architecture, set()).update(names)
            begin += header_size + size
        at = program.find(struct.pack("<I", FATBIN), end)
    return found


def demangled(names):
    result = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


def missing(operation, kernels, program):
    for pattern in patterns_of(operation):
        if pattern.startswith("library:"):
            there = pattern.removeprefix("library:").encode() + b"\0" in program
        else:
            there = any(re.search(pattern, kernel) for kernel in kernels)
        if not there:
            yield pattern


def main():
    listing = "--list" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--list"]
    program, project = pathlib.Path(arguments[0]).read_bytes(), pathlib.Path(arguments[1])
    found = {number: demangled(sorted(names)) for number, names in kernels_by_architecture(program).items()}
    problems = []
    declared = operations(project)
    if len(declared) < 30:
        problems.append(f"ops.h has only {len(declared)} operations?")
    problems += [f"{name}: no operation of ops.h" for name in KERNELS if name not in declared]
    for architecture in map(int, arguments[2:]):
        kernels = found.get(architecture, [])
        print(f"sm_{architecture}: {len(kernels)} kernels for {len(declared)} operations")
        for operation in declared:
            for pattern in missing(operation, kernels, program):
                problems.append(f"{operation}: sm_{architecture} has no {pattern}")
    if listing:
        for architecture, kernels in sorted(found.items()):
            print("\n".join(f"sm_{architecture} {kernel}" for kernel in kernels))
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


main()
