"""A clause: one meaning, laid out by the word order of each language.

English keeps subject - verb - objects - manner - place - time. German moves the finite verb: to
the second place of a statement, to the front of a question, to the end of a subordinate clause;
what is left of the verb (participle, infinitive, separable prefix) closes the clause as its right
bracket. Between the two stands the middle field, whose order is written down in _middle_field.
"""

import dataclasses

from . import german
from .phrases import NOTHING, Nominal, prepositional
from .verb_group import english_group, german_group

# Word orders. SHARED is a second predicate that shares the subject of the first.
STATEMENT, QUESTION, SUBORDINATE, INFINITIVE, IMPERATIVE = (
    "statement", "question", "subordinate", "infinitive", "imperative")
SHARED, SHARED_SUBORDINATE = "shared", "shared subordinate"


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of an adverbial or predicate in both languages."""

    english: tuple
    german: tuple
    german_tail: tuple = ()  # a relative clause that may follow the right bracket
    nominal: Nominal = None

    @staticmethod
    def of(english_text, german_text):
        return Words(tuple(english_text.split()), tuple(german_text.split()))


@dataclasses.dataclass(frozen=True)
class Located:
    """A preposition with its noun phrase, in the place of Words."""

    english_preposition: str
    german_preposition: str
    case: str
    nominal: Nominal

    def _words(self):
        return prepositional(self.english_preposition, self.german_preposition, self.case,
                             self.nominal)

    english = property(lambda self: self._words()[0])
    german = property(lambda self: self._words()[1])
    german_tail = property(lambda self: self._words()[2])


@dataclasses.dataclass
class Complement:
    """An object, with its German case (a, d; n for a predicate noun) and prepositions if any."""

    nominal: Nominal
    case: str
    german_preposition: str = ""
    english_preposition: str = ""
    fronted: bool = False  # a relative pronoun or a question word stands first
    stranded: bool = False  # if fronted, English leaves the preposition where it was

    def english(self):
        if self.english_preposition and not self.stranded:
            return self._prepositional()[0]
        return [*self.nominal.english(self.case), *self.nominal.tail[0]]

    def german(self):
        """(words, words of a relative clause)"""
        if self.german_preposition:
            return self._prepositional()[1:]
        return self.nominal.german(self.case), list(self.nominal.tail[1])

    def _prepositional(self):
        return prepositional(self.english_preposition, self.german_preposition, self.case,
                             self.nominal)


@dataclasses.dataclass
class Clause:
    """Everything that a clause says. Adverbials and the predicate are Words, Located or None."""

    subject: Nominal
    verb: object
    tense: object
    complements: list = dataclasses.field(default_factory=list)
    predicate: Words = None  # a predicate adjective or noun, a place or direction the verb needs
    time: Words = None
    middle: Words = None  # often, already, never
    manner: Words = None
    place: Words = None
    negated: bool = False
    permanent: bool = False  # a trait or an age: nothing that happens while or because of something
    front: str = ""  # "time" or "place": which adverbial stands first
    opener: Words = None  # where, why, therefore: stands first
    lead: tuple = NOTHING  # a subordinate clause in first place
    tails: list = dataclasses.field(default_factory=list)  # (English, German) clauses that follow

    def english(self, order=STATEMENT):
        """The clause in English words."""
        inverted = order == QUESTION
        finite, rest = english_group(self.verb, self.tense, self.subject.agreement, self.negated,
                                     inverted)
        if order in (INFINITIVE, IMPERATIVE):
            finite = ["not"] * self.negated if order == INFINITIVE else ["do", "not"] * self.negated
            rest = ["to"] * (order == INFINITIVE) + [self.verb.base]
        subject = [*self.subject.english("n"), *self.subject.tail[0]] \
            if order in (STATEMENT, QUESTION, SUBORDINATE) else []
        start = [finite[0], *subject, *finite[1:]] if inverted else [*subject, *finite]
        fronted = [word for item in self.complements if item.fronted for word in item.english()]
        if self.opener:
            fronted = list(self.opener.english)
        words = [*self._english_front(), *fronted, *start, *_english(self.middle), *rest,
                 *self._english_objects(), *_english(self.predicate), *_english(self.manner)]
        for name in ("place", "time"):
            if self.front != name:
                words += _english(getattr(self, name))
        return words + [word for tail in self.tails for word in tail[0]]

    def _english_front(self):
        if self.lead is not NOTHING:
            return [*self.lead[0], ","]
        if not self.front:
            return []
        words = _english(getattr(self, self.front))
        return words + [","] * (len(words) > 1)

    def _english_objects(self):
        """Objects without a preposition first; a pronoun goes before the particle (turn it on)."""
        shown = [item for item in self.complements if not item.fronted]
        plain = [item for item in shown if not item.english_preposition]
        particle = self.verb.english_rest.split()
        before = bool(plain) and plain[0].nominal.is_pronoun
        words = [] if before else particle
        for item in plain:
            words = words + item.english()
            if before and item is plain[0]:
                words = words + particle
        words = words + [word for item in shown if item.english_preposition
                         for word in item.english()]
        return words + [word for item in self.complements if item.stranded
                        for word in item.english_preposition.split()]

    def german(self, order=STATEMENT):
        """The clause in German words, with the commas around what is subordinate in it."""
        finite, bracket = german_group(self.verb, self.tense, self.subject.german_agreement)
        middle, extraposed = self._middle_field()
        subject = [*self.subject.german("n"), *self.subject.tail[1]]
        front = self._german_front()
        ending = extraposed + [word for tail in self.tails for word in tail[1]]
        prefix = [self.verb.prefix] if self.verb.prefix and not bracket else []
        if order in (SUBORDINATE, SHARED_SUBORDINATE):
            subject = [] if order == SHARED_SUBORDINATE else subject
            return [*front, *subject, *middle, *bracket, "".join(prefix) + finite, *ending]
        if order == INFINITIVE:
            joint = [self.verb.prefix + "zu" + self.verb.infinitive] if self.verb.prefix \
                else ["zu", self.verb.infinitive]
            return [*middle, *joint, *ending]
        if order == SHARED:
            return [finite, *middle, *bracket, *prefix, *ending]
        if order == IMPERATIVE:
            command = german.imperative(self.verb.infinitive, self.verb.third_person)
            return [command, *middle, *([self.verb.prefix] * bool(self.verb.prefix)), *ending]
        if order == QUESTION or front:
            return [*front, finite, *subject, *middle, *bracket, *prefix, *ending]
        return [*subject, finite, *middle, *bracket, *prefix, *ending]

    def _german_front(self):
        if self.lead is not NOTHING:
            return list(self.lead[1])
        if self.opener:
            return list(self.opener.german)
        for item in self.complements:
            if item.fronted:
                return item.german()[0]
        return _german(getattr(self, self.front)) if self.front else []

    def _middle_field(self):
        """(words, relative clause of the last phrase, which follows the right bracket).

        Pronouns (accusative before dative), time, definite objects (dative before accusative),
        middle adverb, nicht, manner, place, indefinite objects, prepositional objects, predicate.
        """
        shown = [item for item in self.complements if not item.fronted]
        bare = sorted((item for item in shown if not item.german_preposition),
                      key=lambda item: item.case != "d")
        pronouns = [item for item in reversed(bare) if item.nominal.is_pronoun]
        nouns = [item for item in bare if not item.nominal.is_pronoun]
        reflexive = [german.REFLEXIVE[self.subject.german_agreement]] if self.verb.reflexive else []
        negation, denied = self._negation(nouns)
        if denied:
            denied.nominal.negated = True
        phrases = [(reflexive, []), *(item.german() for item in pronouns)]
        phrases += [_phrase(self.time) if self.front != "time" else ([], [])]
        phrases += [(["gerade"] if self.tense.particle == "gerade" else [], [])]
        phrases += [item.german() for item in nouns if item.nominal.definite]
        phrases += [(["gern"] if self.tense.particle == "gern" else [], [])]
        phrases += [_phrase(self.middle), (negation, []), _phrase(self.manner)]
        phrases += [_phrase(self.place) if self.front != "place" else ([], [])]
        phrases += [item.german() for item in nouns if not item.nominal.definite]
        phrases += [item.german() for item in shown if item.german_preposition]
        phrases += [_phrase(self.predicate)]
        phrases = [phrase for phrase in phrases if phrase[0]]
        if denied:
            denied.nominal.negated = False
        extraposed = list(phrases[-1][1]) if phrases else []
        words = [word for phrase in phrases[:-1] for part in phrase for word in part]
        return words + (list(phrases[-1][0]) if phrases else []), extraposed

    def _negation(self, nouns):
        """(["nicht"], None), or an indefinite object that takes kein instead."""
        if not self.negated:
            return [], None
        for item in nouns:
            if not item.nominal.definite:
                return [], item
        return ["nicht"], None


def _english(words):
    return list(words.english) if words else []


def _german(words):
    return [*words.german, *words.german_tail] if words else []


def _phrase(words):
    return (list(words.german), list(words.german_tail)) if words else ([], [])
