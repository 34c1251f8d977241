"""Installs a build, builds examples/ on what was installed, as a stranger would, and runs them.

    examples_test.py BUILD      the build's directory
"""

import pathlib
import re
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parent.parent
SENTENCES = ["The old man sleeps.", "The woman does not see the house."]
TINY = """
data: {directory: %s, source: en, target: de, train: [validation], validation: validation}
vocabulary: {type: bpe, size: 300, shared: true}
model:
  encoder: {type: transformer, layers: 1, dim: 32, heads: 2, ffn_dim: 64}
  decoder: {type: transformer, layers: 1, dim: 32, heads: 2, ffn_dim: 64}
training: {device: cpu, batch_tokens: 1000, warmup_steps: 10, max_steps: 20, validate_every: 20}
decoding: {beam_size: 2, max_length: 20}
"""


def output(*command, **options):
    print("$", *command, flush=True)
    return subprocess.run([str(word) for word in command], check=True, text=True, stdout=subprocess.PIPE,
                          **options).stdout


def settings(build):
    """What the build was configured with."""
    entries = re.findall(r"^(\w+):\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE)
    return {name: value for name, value in entries if name in
            ("CMAKE_C_COMPILER", "CMAKE_CXX_COMPILER", "CMAKE_GENERATOR", "CMAKE_PREFIX_PATH") and value}


def main():
    build = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        scratch = pathlib.Path(temporary)
        prefix, examples, run = scratch / "prefix", scratch / "examples", scratch / "run"
        output("cmake", "--install", build, "--prefix", prefix)
        kept = settings(build)
        generator = kept.pop("CMAKE_GENERATOR")
        found_in = [str(prefix), *filter(None, [kept.pop("CMAKE_PREFIX_PATH", "")])]
        output("cmake", "-S", PROJECT / "examples", "-B", examples, "-G", generator,
               f"-DCMAKE_PREFIX_PATH={';'.join(found_in)}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror",
               *(f"-D{name}={value}" for name, value in kept.items()))
        output("cmake", "--build", examples)

        lines = output(examples / "bigram").splitlines()
        losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", "\n".join(lines))]
        assert len(losses) == 4 and losses == sorted(losses, reverse=True) and losses[-1] < losses[0] / 4, lines
        learned = re.search('text = "(.*)"', (PROJECT / "examples" / "bigram.cpp").read_text())[1]
        pairs = [lines[-1][i:i + 2] for i in range(59)]
        assert len(lines[-1]) == 60 and sum(pair in learned for pair in pairs) > 50, lines

        (scratch / "tiny.yaml").write_text(TINY % (PROJECT / "data" / "embedded"))
        program = prefix / "bin" / "dragoman"
        output(program, "train", scratch / "tiny.yaml", "--output", run)
        expected = output(program, "translate", run, input="\n".join(SENTENCES) + "\n")
        assert len(expected.split()) >= len(SENTENCES), expected
        got = output(examples / "translate", run, *SENTENCES)
        assert got == expected, (got, expected)


main()
