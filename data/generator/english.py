"""English inflection: plurals, articles, verb forms, comparison."""

import re

# A person and number is one index everywhere: I, you, he/she/it, we, they.
I, YOU, HE, WE, THEY = range(5)

_VOWELS = "aeiou"
_BE = {"present": ("am", "are", "is", "are", "are"), "past": ("was", "were", "was", "were", "were")}
_MONOSYLLABLE = re.compile(r"[^aeiou]*[aeiouy]+[^aeiouy]*e?$")


def plural(noun):
    """The regular plural of a noun, or of the last word of a compound."""
    if noun.endswith(("s", "sh", "ch", "x")):
        return noun + "es"
    if noun[-1] == "y" and noun[-2] not in _VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def indefinite(following):
    """The indefinite article before a word."""
    silent_h = following.startswith(("hour", "honest"))
    return "an" if silent_h or following[0].lower() in _VOWELS else "a"


def third_person(base):
    """go -> goes"""
    if base == "have":
        return "has"
    if base.endswith(("s", "sh", "ch", "x", "o")):
        return base + "es"
    if base[-1] == "y" and base[-2] not in _VOWELS:
        return base[:-1] + "ies"
    return base + "s"


def regular_past(base):
    """bake -> baked"""
    if base.endswith("e"):
        return base + "d"
    if base[-1] == "y" and base[-2] not in _VOWELS:
        return base[:-1] + "ied"
    return _doubled(base) + "ed"


def progressive(base):
    """lie -> lying, swim -> swimming"""
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and base != "be" and not base.endswith("ee"):
        return base[:-1] + "ing"
    return _doubled(base) + "ing"


def _doubled(base):
    """The base with its last consonant doubled where a suffix asks for it."""
    doubles = re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", base) or base in ("forget", "begin")
    return base + base[-1] if doubles else base


def present(base, agreement):
    """The finite present of a verb."""
    if base == "be":
        return _BE["present"][agreement]
    return third_person(base) if agreement == HE else base


def past(base, form, agreement):
    """The finite past of a verb whose past form is `form`."""
    return _BE["past"][agreement] if base == "be" else form


def comparison(adjective):
    """(comparative, superlative) of an adjective without forms of its own."""
    if adjective.endswith("y"):
        return adjective[:-1] + "ier", adjective[:-1] + "iest"
    if _MONOSYLLABLE.fullmatch(adjective):
        stem = _doubled(adjective).rstrip("e")
        return stem + "er", stem + "est"
    return "more " + adjective, "most " + adjective
