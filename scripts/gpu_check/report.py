"""What the check found, as Markdown."""


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
    searches = list(dict.fromkeys(search for found in results.values() for search in found))
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
        ours = f"{result['target_tokens_per_second']:.0f}" if result["dragoman"] else "failed"
        peak = f"{result['ceiling_fraction']:.2f}" if result["dragoman"] else ""
        ratio = f"{result['ratio']:.2f}" if "ratio" in result else ""
        rows.append([*name.split(", "), ours, peak, *(pytorch(result["pytorch"].get(mode)) for mode in modes), ratio])
    header = ["model", "vocabulary", "tokens a batch", "Dragoman, target tokens/s", "of the ceiling",
              *(f"PyTorch, {mode}" for mode in modes), "ratio to PyTorch's best"]
    failures = [f"- {name}, PyTorch, {mode}: {run['failed']}" for name, result in results.items()
                for mode, run in result["pytorch"].items() if "failed" in run]
    return table(header, rows) + ("\n" + "\n".join(failures) + "\n" if failures else "")


SECTIONS = {"machine": machine, "tests": tests, "parity": parity, "training": training, "decoding": decoding,
            "speed": speed}


def text(checked):
    parts = checked["parts"]
    summary = table(["part", "result", "seconds", ""],
                    [[name, part["status"], f"{part['seconds']:.0f}", part["message"].replace("|", "\\|")]
                     for name, part in parts.items()])
    sections = [f"## {name}\n\n{SECTIONS[name](part['results'])}" for name, part in parts.items() if part["results"]]
    return "\n".join([f"# Check of {checked['device']}, {checked['began']}\n", summary, *sections])
