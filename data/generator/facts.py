"""Draws clauses about what there is, the weather, measures and comparisons."""

from . import lexicon, numbers
from .clause import Clause, Complement, Words
from .phrases import A, THE, Expletive
from .verb_group import (BE, COST, FUTURE, HAVE, PAST, PRESENT, RAIN, SNOW, STATIC_PRESENT,
                         THERE_BE, WEIGH)

_COMPARED = ("clothes", "vehicle", "furniture", "home", "animal", "idea", "text", "hanging")
_MEASURES = (("building", "tall", "hoch", 8, 120), ("bridge", "long", "lang", 20, 900),
             ("tree", "tall", "hoch", 3, 40), ("river", "wide", "breit", 10, 300),
             ("street", "long", "lang", 50, 990), ("wall", "high", "hoch", 2, 12))
_WEIGHED = ("dog", "pig", "goat", "suitcase", "box", "bag", "table", "cupboard", "basket", "carpet")
_EXISTING = ((("furniture", "vessel", "hanging"), ("room",)), (("animal",), ("outdoor",)),
             (("plant",), ("garden", "park", "meadow", "forest", "courtyard")),
             (("person", "vehicle"), ("street", "square", "station", "airport")),
             (("public_place", "factory", "church", "park"), ("settlement", "town")))


class Facts:
    """Draws clauses that are not about what somebody does."""

    def __init__(self, rng, phrasing, adverbials, clauses):
        self._rng = rng
        self._phrasing = phrasing
        self._adverbials = adverbials
        self._clauses = clauses

    def any(self, world):
        """A fact of any kind."""
        return self._rng.weighted({self._there_is: 35, self._weather: 15, self._comparison: 25,
                                   self._price: 10, self._weight: 5, self._size: 5,
                                   self._inhabitants: 5})(world)

    @staticmethod
    def _tense(world):
        return PAST if world == "past" else PRESENT

    def number(self, low, high):
        """A number in words or digits, (English, German)."""
        number = self._rng.between(low, high)
        return numbers.digits(number) if self._rng.chance(40) else numbers.spelled(number)

    def adjective(self, group):
        """An adjective as a predicate."""
        adjective = self._rng.pick(lexicon.adjectives()[group])
        return Words.of(adjective.english[0], adjective.german[0])

    def _there_is(self, world):
        """There are three chairs in the kitchen."""
        classes, places = self._rng.pick(_EXISTING)
        nominal = self._phrasing.indefinite(classes)
        clause = Clause(Expletive("there", nominal.agreement), THERE_BE, self._tense(world),
                        [Complement(nominal, "a")])
        clause.place = self._adverbials.place(places, within_town=0)
        if self._rng.chance(35):
            clause.front = "place"
        return clause

    def _weather(self, world):
        """It is raining; it was cold in the kitchen."""
        tense = {"past": PAST, "future": FUTURE}.get(world)
        if self._rng.chance(40):
            clause = Clause(Expletive("it"), self._rng.pick((RAIN, SNOW)), tense or STATIC_PRESENT)
        else:
            clause = Clause(Expletive("it"), BE, tense or PRESENT,
                            predicate=self.adjective("weather"))
        if self._rng.chance(50):
            clause.place = self._adverbials.place(("outdoor", "settlement", "town", "country"))
        if self._rng.chance(50):
            clause.time = self._clauses.time(clause, world)
            self._clauses.move_to_front(clause)
        return clause

    def _owned(self, name, plural=0):
        return self._phrasing.phrase((name,), {THE: 60, "possessive": 25, "owner": 15}, plural,
                                     fully=False)

    def _price(self, world):
        """The coat cost 45.50 euros."""
        subject = self._owned("goods")
        while subject.is_plural:
            subject = self._owned("goods")
        amount = self._rng.pick((
            numbers.decimal(self._rng.between(2, 99), self._rng.pick((20, 50, 95, 99))),
            self.number(2, 950), numbers.digits(50 * self._rng.between(21, 90))))
        return self._measure(subject, COST, world, amount, "euros", "Euro")

    def _weight(self, world):
        """The suitcase weighs twenty-three kilograms."""
        subject = self._owned(self._rng.pick(_WEIGHED))
        return self._measure(subject, WEIGH, world, self.number(2, 60), "kilograms", "Kilogramm")

    def _inhabitants(self, world):
        """The city has 45,000 inhabitants."""
        subject = self._phrasing.phrase(("settlement",), {THE: 70, A: 30}, plural=0, fully=False)
        amount = numbers.digits(100 * self._rng.between(4, 990))
        return self._measure(subject, HAVE, world, amount, "inhabitants", "Einwohner")

    def _size(self, world):
        """The tower is 45 meters tall."""
        name, word, german_word, low, high = self._rng.pick(_MEASURES)
        return self._measure(self._phrasing.subject((name,), plural=0), BE, world,
                             self.number(low, high), f"meters {word}", f"Meter {german_word}")

    def _measure(self, subject, verb, world, amount, unit, german_unit):
        return Clause(subject, verb, self._tense(world), predicate=Words.of(
            f"{amount[0]} {unit}", f"{amount[1]} {german_unit}"))

    def _comparison(self, world):
        """The tower is older than the church."""
        family = self._rng.pick(_COMPARED)
        subject, other = self._owned(family, plural=10), self._owned(family, plural=10)
        subject.adjectives = ()
        groups = [name for name in subject.noun.adjectives if name in other.noun.adjectives
                  and lexicon.adjectives()[name][0].gradable]
        adjective = self._rng.pick(lexicon.adjectives()[self._rng.pick(groups)])
        if self._rng.chance(60):
            frame = (adjective.english[1], "than"), (adjective.german[1], "als")
        else:
            frame = ("as", adjective.english[0], "as"), ("so", adjective.german[0], "wie")
        return Clause(subject, BE, self._tense(world), predicate=Words(
            (*frame[0], *other.english("a")), (*frame[1], *other.german("n"))))
