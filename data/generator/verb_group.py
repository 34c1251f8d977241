"""Tenses and modal verbs: the finite verb and the verbal rest in both languages."""

import dataclasses

from . import english, german
from .lexicon import verb

BE = verb("be was been", "sein ist war gewesen +sein", "", "state")
HAVE = verb("have had had", "haben hat hatte gehabt", "", "state")
THERE_BE = verb("be was been", "geben gibt gab gegeben", "", "state")
COST = verb("cost cost cost", "kosten", "", "state")
WEIGH = verb("weigh", "wiegen wiegt wog gewogen", "", "state")
RAIN = verb("rain", "regnen")
SNOW = verb("snow", "schneien")
SPEAK = verb("speak spoke spoken", "sprechen spricht sprach gesprochen")
LEARN = verb("learn", "lernen", "", "means")


@dataclasses.dataclass(frozen=True)
class Tense:
    """How a verb is used.

    The English side is a chain: an optional modal ("want to"), then forms of be and have.
    """

    english: str  # present, past, progressive, perfect, pluperfect, modal, passive, past_passive
    german: str  # present, past, perfect, pluperfect, modal, passive, past_passive
    modal: tuple = ()  # English word or words for: statement, negation
    german_modal: str = ""  # finite forms for I, you, he, we, they
    particle: str = ""  # what German adds: gerade (is reading), gern (likes to read)


def _present_modal(infinitive):
    return " ".join(german.present(infinitive, "", person) for person in range(5))


def _past_modal(form):
    return " ".join(german.past(form, person) for person in range(5))


PRESENT = Tense("present", "present")
PAST = Tense("past", "past")
PROGRESSIVE = Tense("progressive", "present", particle="gerade")
STATIC_PRESENT = Tense("progressive", "present")
STATIC_PAST = Tense("past_progressive", "past")
PERFECT = Tense("perfect", "perfect")
PLUPERFECT = Tense("pluperfect", "pluperfect")
PASSIVE = Tense("passive", "passive")
PAST_PASSIVE = Tense("past_passive", "past_passive")
FUTURE = Tense("modal", "modal", ("will", "will not"), "werde wirst wird werden werden")
WOULD = Tense("modal", "modal", ("would", "would not"), "würde würdest würde würden würden")
CAN = Tense("modal", "modal", ("can", "cannot"), _present_modal("können"))
MUST = Tense("modal", "modal", ("have to", "do not have to"), _present_modal("müssen"))
WANT = Tense("modal", "modal", ("want to", "do not want to"), _present_modal("wollen"))
MAY = Tense("modal", "modal", ("may", "may not"), _present_modal("dürfen"))
SHOULD = Tense("modal", "modal", ("should", "should not"), _past_modal("sollte"))
LIKE = Tense("modal", "present", ("like to", "do not like to"), particle="gern")
SINCE = Tense("perfect", "present")  # has lived here for two years: wohnt hier seit zwei Jahren
COULD = Tense("modal", "modal", ("could", "could not"), _past_modal("konnte"))
HAD_TO = Tense("modal", "modal", ("had to", "did not have to"), _past_modal("musste"))
WANTED = Tense("modal", "modal", ("wanted to", "did not want to"), _past_modal("wollte"))


def english_group(word, tense, agreement, negated, inverted=False):
    """(finite verb, rest): the words before and after a middle adverb or an inverted subject.

    The finite part is empty where the verb stands alone after its adverb ("often reads").
    """
    if tense.modal:
        return _english_modal(word, tense, agreement, negated, inverted)
    negation = ["not"] if negated else []
    have = "had" if tense.english == "pluperfect" else english.present("have", agreement)
    time = "past" if tense.english.startswith("past") else "present"
    be = english.past("be", "", agreement) if time == "past" else english.present("be", agreement)
    if tense.english in ("perfect", "pluperfect"):
        return [have, *negation], [word.english_participle]
    if tense.english in ("progressive", "past_progressive"):
        return [be, *negation], [english.progressive(word.base)]
    if tense.english in ("passive", "past_passive"):
        return [be, *negation], [word.english_participle]
    if word.base == "be":
        return [be, *negation], []
    if negated or inverted:
        do = "did" if time == "past" else english.present("do", agreement)
        return [do, *negation], [word.base]
    if time == "past":
        return [], [english.past(word.base, word.english_past, agreement)]
    return [], [english.present(word.base, agreement)]


def _english_modal(word, tense, agreement, negated, inverted):
    """The modals proper (can) and those that need do in questions and negations (want to)."""
    first, *rest = tense.modal[0].split()
    if not rest:
        finite = ["cannot"] if negated and first == "can" else [first] + ["not"] * negated
        return finite, [word.base]
    base = {"had": "have", "wanted": "want"}.get(first, first)
    is_past = first != base
    if negated or inverted:
        do = "did" if is_past else english.present("do", agreement)
        return [do] + ["not"] * negated, [base, "to", word.base]
    return [], [first if is_past else english.present(base, agreement), "to", word.base]


def german_group(word, tense, agreement):
    """(finite verb without its prefix, words of the right bracket without the finite verb)."""
    infinitive = word.prefix + word.infinitive
    if tense.german == "modal":
        return tense.german_modal.split()[agreement], [infinitive]
    if tense.german in ("passive", "past_passive"):
        finite = german.present("werden", "", agreement) if tense.german == "passive" \
            else german.past("wurde", agreement)
        return finite, [word.german_participle]
    if tense.german in ("perfect", "pluperfect"):
        auxiliary = "sein" if word.with_sein else "haben"
        finite = german.present(auxiliary, "", agreement) if tense.german == "perfect" \
            else german.past({"sein": "war", "haben": "hatte"}[auxiliary], agreement)
        return finite, [word.german_participle]
    if tense.german == "past":
        return german.past(word.german_past, agreement), []
    return german.present(word.infinitive, word.third_person, agreement), []
