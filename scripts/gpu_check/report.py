"""What the check found, as Markdown."""

from setting import attempt


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def shown(number):
    if isinstance(number, bool):
        return "yes" if number else "no"
    return f"{number:.3g}" if isinstance(number, float) else str(number)


def machine(results):
    return "\n".join(f"- {key}: {value}" for key, value in results.items() if value) + "\n"


def tests(results):
    rows = [[name, run["passed"], run["on_gpu"], run["skipped"], len(run["failed"])]
            for name, run in results.get("programs", {}).items()]
    return table(["tests", "passed", "of these on the GPU", "skipped", "failed"], rows)


def parity(results):
    rows = [[model, name, shown(number)] for model, found in results.items() for name, number in found.items()]
    return table(["model", "compared", "difference, or whether it is so"], rows)


def training(results):
    return table(["found", ""], [[key, shown(value)] for key, value in results.items()])


def decoding(results):
    searches = list(dict.fromkeys(search for found in results.values() for search in found if "beam" in search))
    rows = [[model, *(f"{found[search]:.0f}" if search in found else "" for search in searches)]
            for model, found in results.items()]
    return table(["sentences/s", *searches], rows)


def pytorch(run):
    if run is None:
        return "not run"
    return "failed" if "failed" in run else f"{run['target_tokens_per_second']:.0f}"


def speed(results):
    modes = list(dict.fromkeys(mode for result in results.values() for mode in result["pytorch"]))
    rows = []
    for name, result in results.items():
        number = lambda key, digits: f"{result[key]:.{digits}f}" if key in result else ""
        rows.append([*name.split(", "), number("target_tokens_per_second", 0) or result.get("failed", "not run"),
                     number("teraflops", 1), number("peak_fraction", 2), number("ceiling_fraction", 2),
                     *(pytorch(result["pytorch"].get(mode)) for mode in modes), number("ratio", 2)])
    header = ["model", "vocabulary", "tokens a batch", "Dragoman, target tokens/s", "TFLOP/s of products", "of the peak",
              "of one large product's", *(f"PyTorch, {mode}" for mode in modes), "ratio to PyTorch's best"]
    failures = [f"- {name}, PyTorch, {mode}: {run['failed']}" for name, result in results.items()
                for mode, run in result["pytorch"].items() if "failed" in run]
    return table(header, rows) + ("\n" + "\n".join(failures) + "\n" if failures else "")


SECTIONS = {"machine": machine, "tests": tests, "parity": parity, "training": training, "decoding": decoding,
            "speed": speed}


def section(name, results):
    """What cannot be shown must not take the others along: gpu_check.json has it."""
    shown, failure = attempt(lambda: SECTIONS[name](results))
    return f"## {name}\n\n{shown or failure}"


def text(checked):
    parts = checked["parts"]
    summary = table(["part", "result", "seconds", ""],
                    [[name, part["status"], f"{part['seconds']:.0f}", part["message"].replace("|", "\\|")]
                     for name, part in parts.items()])
    sections = [section(name, part["results"]) for name, part in parts.items() if part["results"]]
    return "\n".join([f"# Check of {checked['device']}, {checked['began']}\n", summary, *sections])
