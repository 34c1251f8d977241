"""German inflection: articles, adjectives, nouns, pronouns, verb forms."""

import re

# Case and gender are letters everywhere: n(ominative), a(ccusative), d(ative), g(enitive);
# m(asculine), f(eminine), n(euter), p(lural of any gender).
_CASES = "nadg"


def _table(**rows):
    """{(case, gender): form} from one row of four forms a gender."""
    return {(case, gender): "" if form == "-" else form
            for gender, forms in rows.items() for case, form in zip(_CASES, forms.split())}


DEFINITE = _table(m="der den dem des", f="die die der der", n="das das dem des",
                  p="die die den der")
RELATIVE = _table(m="der den dem dessen", f="die die der deren", n="das das dem dessen",
                  p="die die denen deren")
# Endings of dieser, jeder, welcher; of ein, kein and the possessives; of adjectives.
STRONG_DETERMINER = _table(m="er en em es", f="e e er er", n="es es em es", p="e e en er")
MIXED_DETERMINER = _table(m="- en em es", f="e e er er", n="- - em es", p="e e en er")
WEAK = _table(m="e en en en", f="e e en en", n="e e en en", p="en en en en")
MIXED = _table(m="er en en en", f="e e en en", n="es es en en", p="en en en en")
STRONG = _table(m="er en em en", f="e e er er", n="es es em en", p="e e en er")

PERSONAL = {
    "I": ("ich", "mich", "mir"), "you": ("du", "dich", "dir"), "he": ("er", "ihn", "ihm"),
    "she": ("sie", "sie", "ihr"), "it": ("es", "es", "ihm"), "we": ("wir", "uns", "uns"),
    "they": ("sie", "sie", "ihnen"),
}
REFLEXIVE = ("mich", "dich", "sich", "uns", "sich")

_CONTRACTIONS = {("in", "dem"): "im", ("an", "dem"): "am", ("zu", "dem"): "zum",
                 ("zu", "der"): "zur", ("bei", "dem"): "beim", ("von", "dem"): "vom",
                 ("in", "das"): "ins", ("an", "das"): "ans"}
_IRREGULAR_PRESENT = {
    "sein": "bin bist ist sind sind", "haben": "habe hast hat haben haben",
    "werden": "werde wirst wird werden werden", "wissen": "weiß weißt weiß wissen wissen",
    "können": "kann kannst kann können können", "müssen": "muss musst muss müssen müssen",
    "mögen": "mag magst mag mögen mögen", "wollen": "will willst will wollen wollen",
    "dürfen": "darf darfst darf dürfen dürfen",
}
_IRREGULAR_STEMS = {"teuer": "teur", "dunkel": "dunkl", "hoch": "hoh"}
_INSEPARABLE = ("be", "ent", "er", "ge", "ver", "zer", "emp", "über", "unter")


def contract(preposition, words):
    """in + dem Garten -> im Garten; unchanged where German does not contract."""
    short = _CONTRACTIONS.get((preposition, words[0]))
    return [short, *words[1:]] if short else [preposition, *words]


def noun_form(noun, case, is_plural):
    """A noun (of the lexicon) in a case and number."""
    if is_plural:
        needs_n = case == "d" and not noun.german_plural.endswith(("n", "s"))
        return noun.german_plural + ("n" if needs_n else "")
    if noun.weak:
        return noun.german if case == "n" else noun.german_plural
    if case == "g" and noun.gender != "f":
        return noun.genitive or _genitive(noun.german)
    return noun.german


def _genitive(noun):
    """The genitive of a strong masculine or neuter noun: -es after one syllable or a hiss."""
    syllables = re.findall("[aeiouyäöüé]+", noun.lower())
    one_syllable = len(syllables) == 1 and noun[-1] not in "aeiouyé"
    return noun + ("es" if noun.endswith(("s", "ß", "z", "x")) or one_syllable else "s")


def adjective_form(adjective, endings, case, gender):
    """An adjective with the ending that the table gives."""
    stem = _IRREGULAR_STEMS.get(adjective, adjective)
    return stem.removesuffix("e") + endings[case, gender]


def weak_forms(infinitive, prefix):
    """(third person, past, participle) of a regular verb; the participle carries the prefix."""
    stem = verb_stem(infinitive)
    link = "e" if re.search(r"[td]$|[^aeiouhlrmnäöü][mn]$|chn$|ffn$", stem) else ""
    bare = infinitive.endswith("ieren") or (not prefix and infinitive.startswith(_INSEPARABLE))
    participle = ("" if bare else "ge") + stem + link + "t"
    return stem + link + "t", stem + link + "te", prefix + participle


def verb_stem(infinitive):
    """lesen -> les, wandern -> wander"""
    return infinitive.removesuffix("n") if infinitive.endswith(("ern", "eln")) \
        else infinitive.removesuffix("en")


def present(infinitive, third_person, agreement):
    """The finite present for I, you, he, we or they (without a separable prefix)."""
    if infinitive in _IRREGULAR_PRESENT:
        return _IRREGULAR_PRESENT[infinitive].split()[agreement]
    stem = verb_stem(infinitive)
    return (stem + "e", _second_person(stem, third_person), third_person,
            infinitive, infinitive)[agreement]


def _second_person(stem, third_person):
    """du: from liest liest, from schläft schläfst, from hält hältst, from lädt lädst."""
    if stem.endswith("t") and not third_person.endswith("et"):
        return third_person + "st"
    root = third_person.removesuffix("t")
    return third_person if root.endswith(("s", "ß", "z")) else root + "st"


def past(form, agreement):
    """The finite past for I, you, he, we or they from that of the first person."""
    weak = form.endswith("e")
    ending = ("", "st", "", "n" if weak else "en", "n" if weak else "en")[agreement]
    link = "e" if agreement == 1 and not weak and form.endswith(("t", "d", "s", "ß")) else ""
    return form + link + ending


def imperative(infinitive, third_person):
    """The imperative for du: lies, gib, hilf; öffne; geh."""
    stem = verb_stem(infinitive)
    if "i" in third_person and "i" not in stem:
        return third_person.removesuffix("t")
    needs_e = re.search(r"[tdz]$|[^aeiouhlrmn][mn]$|chn$|ffn$|ig$|er$|el$", stem)
    return stem + ("e" if needs_e else "")
