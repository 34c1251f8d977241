"""Reads the word lists in lexicon/ (each file explains its own format)."""

import dataclasses
import functools
import pathlib

from . import english, german

_FOLDER = pathlib.Path(__file__).parent / "lexicon"


@dataclasses.dataclass(frozen=True, eq=False)
class Noun:
    english: str
    plural: str
    german: str
    german_plural: str
    gender: str  # m, f, n
    classes: tuple
    adjectives: tuple = ()  # groups of adjectives that suit it
    pronoun: str = ""  # he or she for a person, empty for a thing
    located: tuple = ()  # prepositions (English, German): in the garden
    reached: tuple = ()  # prepositions (English, German): to the station
    weak: bool = False
    mass: bool = False
    genitive: str = ""  # only where irregular

    def is_a(self, name):
        return name in self.classes


@dataclasses.dataclass(frozen=True, eq=False)
class Adjective:
    english: tuple  # positive, comparative, superlative
    german: tuple
    group: str
    gradable: bool = True
    rank: int = 0  # adjectives of a lower rank stand first


@dataclasses.dataclass(frozen=True)
class Slot:
    """What a verb asks for: a case, the preposition in each language, classes of nouns."""

    kind: str  # acc, dat, or dir, home, loc, from, where, over (places)
    german_preposition: str = ""
    english_preposition: str = ""
    classes: tuple = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Verb:
    base: str
    english_past: str
    english_participle: str
    english_rest: str  # "on" in turn on, "shopping" in go shopping
    infinitive: str  # without the prefix
    prefix: str
    third_person: str
    german_past: str
    german_participle: str  # with the prefix
    with_sein: bool = False
    reflexive: bool = False
    slots: tuple = ()
    flags: tuple = ()
    subjects: tuple = ("person",)
    places: tuple = ()
    manners: tuple = ()


def _sections(filename):
    """Yields (heading words, line) for each entry of a word list."""
    heading = []
    for line in (_FOLDER / filename).read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if line.startswith("["):
            heading = line.strip("[]").split()
        elif line and not line.startswith("#"):
            yield heading, line


def _options(words):
    """Splits ["a", "b=c"] into (["a"], {"b": "c"})."""
    plain = [word for word in words if "=" not in word]
    return plain, dict(word.split("=") for word in words if "=" in word)


def _split(line, separator):
    """The two halves of a line, stripped; the second may be missing."""
    left, _, right = line.partition(separator)
    return left.strip(), right.strip()


def _noun(heading, line):
    entry, tags = _split(line, ";")
    names, forms = _split(entry, "=")
    singular, _, plural = names.partition("/")
    article, _, rest = forms.partition(" ")
    word, german_plural = _split(rest, ",")
    flags, settings = _options(heading + tags.split())
    gender = {"der": "m", "die": "f", "das": "n"}[article]
    pronoun = "she" if "she" in flags else {"m": "he", "f": "she"}.get(gender, "none")
    return Noun(
        english=singular, plural=plural or english.plural(singular), german=word,
        german_plural=german_plural, gender=gender,
        classes=(*flags, singular.replace(" ", "_")),
        adjectives=_names(settings["adj"]),
        pronoun="" if "person" not in flags else "none" if "none" in flags else pronoun,
        located=tuple(settings.get("loc", "").split(":")) if "loc" in settings else (),
        reached=tuple(settings.get("dir", "").split(":")) if "dir" in settings else (),
        weak="weak" in flags, mass="mass" in flags, genitive=settings.get("gen", ""))


def _compounds(nouns):
    """The compound nouns: two English words, one German one."""
    heads = {noun.english: noun for noun in nouns}
    for _, line in _sections("compounds.txt"):
        name, modifiers = _split(line, ":")
        head = heads[name]
        for modifier in modifiers.split(","):
            first, german_first = modifier.split()
            yield dataclasses.replace(
                head, english=f"{first} {head.english}", plural=f"{first} {head.plural}",
                german=german_first + head.german.lower(),
                german_plural=german_first + head.german_plural.lower(),
                genitive=german_first + head.genitive.lower() if head.genitive else "")


@functools.cache
def nouns():
    """All nouns, simple and compound."""
    simple = [_noun(heading, line) for heading, line in _sections("nouns.txt")]
    return tuple(simple) + tuple(_compounds(simple))


@functools.cache
def nouns_of(classes):
    """The nouns of any of the classes (a tuple). An unknown class is an error."""
    for name in classes:
        if not any(noun.is_a(name) for noun in nouns()):
            raise KeyError(f"no noun is of the class '{name}'")
    return tuple(noun for noun in nouns() if any(noun.is_a(name) for name in classes))


@functools.cache
def adjectives():
    """The adjectives, by group."""
    groups = {}
    for heading, line in _sections("adjectives.txt"):
        names, forms = (side.split() for side in _split(line, "="))
        gradable = "flat" not in heading
        english_forms = tuple(names) if len(names) == 3 else (
            names[0], *english.comparison(names[0]))
        word = forms[0]
        hiss = word.endswith(("t", "d", "ß", "sch")) and not word.endswith("nd")
        german_forms = tuple(forms) if len(forms) == 3 else (
            word, word + "er", word + ("est" if hiss else "st"))
        group = groups.setdefault(heading[0], [])
        group.append(Adjective(english_forms, german_forms, heading[0], gradable, len(groups)))
    return groups


def _names(text):
    """The names in a list with commas."""
    return tuple(filter(None, text.split(",")))


def _slot(text):
    kind, _, classes = text.partition(":")
    kind, _, english_preposition = kind.partition("/")
    preposition, _, case = kind.rpartition("+")
    return Slot(case, preposition, english_preposition.strip("_"), _names(classes))


def verb(names, forms, slots="", options=""):
    """A verb from the four parts of its line."""
    first, *irregular = names.split()
    base, _, rest = first.partition("|")
    past, participle = irregular or [english.regular_past(base)] * 2
    words = forms.split()
    reflexive, with_sein = "sich" in words, "+sein" in words
    infinitive, *strong = (word for word in words if word not in ("sich", "+sein"))
    prefix, _, bare = infinitive.rpartition("|")
    third, german_past, german_participle = strong or german.weak_forms(bare, prefix)
    flags, settings = _options(options.split())
    return Verb(
        base=base, english_past=past, english_participle=participle,
        english_rest=rest.replace("_", " "), infinitive=bare, prefix=prefix, third_person=third,
        german_past=german_past,
        german_participle=prefix + german_participle if strong else german_participle,
        with_sein=with_sein, reflexive=reflexive,
        slots=tuple(_slot(text) for text in slots.split()), flags=tuple(flags),
        subjects=_names(settings.get("subj", "person")), places=_names(settings.get("at", "")),
        manners=_names(settings.get("how", "")))


def _verb(line):
    words, rest = _split(line, " : ")
    return verb(*_split(words, "="), *_split(rest, ";"))


@functools.cache
def verbs():
    """All verbs with objects and adverbials, in order."""
    return tuple(_verb(line) for _, line in _sections("verbs.txt"))


@functools.cache
def matrix_verbs():
    """The verbs with a clause as their object, by what that clause says."""
    groups = {}
    for heading, line in _sections("matrix_verbs.txt"):
        groups.setdefault(heading[0].strip(":"), []).append(_verb(line))
    return groups


# Flags of verbs for what happens to one rather than what one decides to do.
UNWILLED = ("noimp", "static", "state")


@functools.cache
def verbs_of(classes, without=()):
    """The verbs whose subject may be of one of the classes and that have none of the flags."""
    return tuple(verb for verb in verbs() if any(name in classes for name in verb.subjects)
                 and not any(flag in verb.flags for flag in without))


@functools.cache
def words():
    """Names, places and adverbs by group: lists of (English, German)."""
    groups = {}
    for heading, line in _sections("words.txt"):
        for entry in line.split(","):
            english_word, german_word = _split(entry, "=")
            groups.setdefault(heading[0], []).append((english_word, german_word or english_word))
    return groups
