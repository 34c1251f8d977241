"""Draws relative clauses: who works, that she bought, in which he lives, whose car is red."""

from . import lexicon
from .clause import SUBORDINATE, Clause, Complement
from .clauses import FUTURE_WORLD, PRESENT_WORLD
from .german import RELATIVE
from .phrases import NOTHING, NounPhrase, RelativePronoun, owner_determiner


class Relatives:
    """Draws relative clauses for noun phrases."""

    def __init__(self, rng, phrasing, clauses):
        self._rng = rng
        self._phrasing = phrasing
        self._clauses = clauses

    def draw(self, nominal, world):
        """(English, German) words of a relative clause for a noun phrase, or NOTHING."""
        world = PRESENT_WORLD if world == FUTURE_WORLD else world
        kind = self._rng.weighted({
            self._subject: 40, self._object: 40, self._place: 40 if nominal.noun.located else 0,
            self._whose: 10 if nominal.noun.pronoun else 0})
        clause = kind(nominal, RelativePronoun(nominal), world)
        if not clause:
            return NOTHING
        clause.front = ""
        return clause.english(SUBORDINATE), [",", *clause.german(SUBORDINATE), ","]

    def _subject(self, nominal, pronoun, world):
        """who works in the garden, that stands on the table, that is old"""
        verbs = lexicon.verbs_of(nominal.noun.classes)
        if nominal.noun.pronoun and self._rng.chance(25):
            return self._clauses.state(world, pronoun)
        if verbs and (nominal.noun.pronoun or self._rng.chance(80)):
            return self._clauses.action(world, pronoun, 15, self._rng.pick(verbs))
        pronoun.noun = nominal.noun
        return None if nominal.adjectives else self._clauses.quality(world, pronoun)

    def _object(self, nominal, pronoun, world):
        """the book that she read, the bus for which he is waiting"""
        choices = [(verb, slot) for verb in lexicon.verbs() for slot in verb.slots
                   if slot.kind in ("acc", "dat") and verb.subjects == ("person",)
                   and any(name in nominal.noun.classes for name in slot.classes)
                   and (len(verb.slots) == 1 or slot.kind == "acc")]
        if not choices:
            return None
        verb, slot = self._rng.pick(choices)
        clause = self._plain(verb, world)
        self._clauses.fill(clause)
        position = [item for item in verb.slots if item.kind in ("acc", "dat")].index(slot)
        item = self._clauses.complement(slot, clause.subject, pronoun)
        item.fronted, item.stranded = True, "strand" in verb.flags
        clause.complements[position] = item
        self._clauses.say_to(clause)
        if self._rng.chance(20) and "state" not in verb.flags:
            clause.time = self._clauses.time(clause, world)
        return clause

    def _plain(self, verb, world):
        """A clause without objects yet, about a person in one or two words."""
        subject = self._phrasing.short_person()
        return Clause(subject, verb, self._clauses.tense(world, verb, subject))

    def _place(self, nominal, pronoun, world):
        """the house in which Anna lives"""
        at_home = nominal.noun.is_a("home") or nominal.noun.is_a("settlement")
        verbs = [verb for verb in lexicon.verbs() if verb.subjects == ("person",) and (
            not verb.slots and any(name in nominal.noun.classes for name in verb.places)
            or at_home and verb.base == "live")]
        if not verbs:
            return None
        clause = self._plain(self._rng.pick(verbs), world)
        english_preposition, german_preposition = nominal.noun.located
        clause.complements.append(Complement(
            pronoun, "d", german_preposition, english_preposition, fronted=True))
        return clause

    def _whose(self, nominal, pronoun, world):
        """the man whose car is red"""
        owner = owner_determiner("whose", RELATIVE["g", nominal.gender])
        name = self._rng.pick(("own", "pet", "home", "kin", "kin"))
        subject = NounPhrase(self._rng.pick(lexicon.nouns_of((name,))), owner)
        return self._clauses.any(world, subject, 15) if name == "kin" \
            else self._clauses.quality(world, subject)
