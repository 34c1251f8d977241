"""From words to a sentence."""


def sentence(words, mark):
    """Joins words into a sentence: commas attach and merge, the first letter is a capital."""
    kept = []
    for word in words:
        if word == "," and (not kept or kept[-1] in (",", ";")):
            continue
        if word == ";" and kept[-1] == ",":
            kept.pop()
        kept.append(word)
    while kept[-1] == ",":
        kept.pop()
    line = " ".join(kept).replace(" ,", ",").replace(" ;", ";")
    return line[0].upper() + line[1:] + mark
