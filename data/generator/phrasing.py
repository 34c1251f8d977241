"""Draws noun phrases: which noun, determiner, adjectives and attributes."""

from . import lexicon, numbers
from .phrases import (A, ALL, BARE, BOTH, EVERY, MANY, NOTHING, POSSESSIVES, SEVERAL, SOME, THE,
                      THIS, Coordinated, CountryName, Name, NounPhrase, Pronoun,
                      number_determiner, owner_determiner, prepositional)

_SUBJECT = {THE: 50, A: 10, "possessive": 18, THIS: 8, "owner": 4, "number": 4, SOME: 2, MANY: 2,
            EVERY: 1, ALL: 1}
_OBJECT = {THE: 36, A: 26, "possessive": 12, THIS: 7, "owner": 4, "number": 6, BARE: 5, SOME: 1,
           MANY: 2, SEVERAL: 2, ALL: 1, BOTH: 1}
_PLACE = {THE: 72, "possessive": 9, THIS: 11, A: 8}
_KIN = {"possessive": 80, "owner": 20}
_MASS = {BARE: 55, THE: 30, "possessive": 15}
_ALWAYS_PLURAL = (BARE, ALL, BOTH, MANY, SOME, SEVERAL, "number")
_ALWAYS_SINGULAR = (A, EVERY)
_TITLES = {"he": (("Mr.", "Herr", "Herrn"), ("Dr.", "Dr.", "Dr.")),
           "she": (("Mrs.", "Frau", "Frau"),)}
# What nobody owns, and what there are never dozens of.
_UNOWNED = ("outdoor", "stop", "settlement", "public_place", "business", "church", "castle",
            "tower", "factory", "hospital", "bathing", "public")
_FEW = ("person", "vehicle", "furniture", "building", "outdoor", "stop", "settlement", "room",
        "event")
_CARRIED = ("hat", "scarf", "umbrella", "bag", "suitcase", "camera")
_CONTENTS = {"cup": ("coffee", "tea"), "bottle": ("wine", "beer", "milk", "water", "juice"),
             "glass": ("water", "milk", "juice", "wine", "lemonade", "beer")}


def _is_owned(noun):
    """Whether one speaks of my, his, Anna's ...: not of strangers, not of public places."""
    if noun.pronoun:
        return noun.is_a("kin")
    return noun.is_a("garden") or not any(noun.is_a(name) for name in _UNOWNED)


class Phrasing:
    """Draws noun phrases from a random number generator."""

    def __init__(self, rng):
        self._rng = rng
        self._said = set()  # the nouns and names of this sentence

    def begin(self):
        """Begins a new sentence."""
        self._said.clear()

    def _fresh(self, draw):
        """What `draw` gives, once more if this sentence has it already."""
        item = draw()
        if item in self._said:
            item = draw()
        self._said.add(item)
        return item

    def name(self):
        """Anna, Mrs. Weber."""
        if self._rng.chance(22):
            pronoun = self._rng.pick(("he", "she"))
            return Name(self._fresh(lambda: self._rng.pick(lexicon.words()["surname"])[0]), pronoun,
                        self._rng.pick(_TITLES[pronoun]))
        group, pronoun = self._rng.pick((("female", "she"), ("male", "he")))
        return Name(self._first_name(group), pronoun)

    def _first_name(self, group):
        return self._fresh(lambda: self._rng.pick(lexicon.words()[group])[0])

    def person(self):
        """The subject of what people do."""
        kind = self._rng.weighted({"pronoun": 27, "name": 28, "phrase": 40, "pair": 5})
        if kind == "pronoun":
            return Pronoun(self._rng.weighted(
                {"I": 6, "you": 4, "he": 6, "she": 6, "we": 4, "they": 4}))
        if kind == "name":
            return self.name()
        if kind == "pair":
            return self.pair()
        return self.subject(("person",))

    def pair(self):
        """Anna and her brother, Paul and Maria, the doctor and his neighbor."""
        first = self.name() if self._rng.chance(60) else self.subject(("profession",), plural=0)
        if self._rng.chance(30) or first.pronoun not in ("he", "she"):
            return Coordinated(first, self.name())
        return Coordinated(first, NounPhrase(
            self._rng.pick(lexicon.nouns_of(("kin",))), POSSESSIVES[first.pronoun]))

    def short_person(self):
        """A subject of one or two words."""
        return self.person() if self._rng.chance(20) else self.name() if self._rng.chance(50) \
            else Pronoun(self._rng.pick(("I", "you", "he", "she", "we", "they")))

    def subject(self, classes, plural=18):
        """A noun phrase as the subject."""
        return self.phrase(classes, _SUBJECT, plural=plural)

    def object(self, classes, owner=""):
        """A noun phrase as an object; owner: the pronoun that a possessive is likely to take up."""
        return self.phrase(classes, _OBJECT, owner=owner)

    def place(self, classes):
        """A noun phrase within an adverbial of place."""
        return self.phrase(classes, _PLACE, plural=0, fully=False)

    def indefinite(self, classes):
        """A noun phrase with a, a number or many."""
        return self.phrase(classes, {A: 50, "number": 30, MANY: 10, SEVERAL: 5, SOME: 5})

    def phrase(self, classes, weights, plural=22, owner="", fully=True):
        """Draws a noun of the classes and everything about it."""
        noun = self._fresh(lambda: self._noun(classes))
        if noun.mass:
            weights = _MASS
        elif "kin" in noun.classes and "person" in noun.classes:
            weights = _KIN
        choice = self._rng.weighted(weights)
        if choice in ("possessive", "owner") and not _is_owned(noun):
            choice = THE
        is_plural = not (noun.mass or noun.is_a("single")) and choice not in _ALWAYS_SINGULAR and (
            choice in _ALWAYS_PLURAL or noun.is_a("pair") or self._rng.chance(plural))
        if choice is A and noun.is_a("pair"):
            is_plural, choice = True, BARE
        determiner = self._determiner(choice, noun, owner)
        adjectives = self._adjectives(noun, choice if fully and not is_plural else None)
        attribute = self._attribute(noun, choice) if fully else NOTHING
        owned = any(noun.is_a(name) for name in ("goods", "own", "pet", "home"))
        owner_phrase = self._owner_phrase() if choice is THE and attribute is NOTHING and fully \
            and owned and self._rng.chance(7) else None
        return NounPhrase(noun, determiner, adjectives, is_plural, attribute, owner_phrase)

    def _owner_phrase(self):
        """the teacher, my brother: whose something is"""
        noun = self._rng.pick(lexicon.nouns_of(("profession", "kin")))
        if noun.is_a("kin"):
            return NounPhrase(noun, POSSESSIVES[self._rng.pick(("I", "he", "she", "we"))])
        return NounPhrase(noun, THE, is_plural=self._rng.chance(15))

    def _noun(self, classes):
        """A noun of one of the classes, each class as likely; simple nouns before compounds."""
        nouns = lexicon.nouns_of((self._rng.pick(classes),))
        noun = self._rng.pick(nouns)
        return self._rng.pick(nouns) if " " in noun.english else noun

    def _determiner(self, choice, noun, owner):
        if choice == "possessive":
            if owner not in POSSESSIVES or self._rng.chance(40):
                owner = self._rng.weighted(
                    {"I": 5, "you": 3, "he": 4, "she": 4, "we": 3, "they": 2})
            return POSSESSIVES[owner]
        if choice == "owner":
            name = self._first_name(self._rng.pick(("female", "male")))
            return owner_determiner(name + "'s", name + "s")
        if choice == "number":
            large = self._rng.chance(25) and not any(noun.is_a(name) for name in _FEW)
            number = self._rng.between(13, 60) if large else self._rng.between(2, 12)
            return number_determiner(
                numbers.digits(number) if self._rng.chance(30) else numbers.spelled(number))
        return choice

    def _adjectives(self, noun, choice):
        """Up to two adjectives, each of another group, in the order of the groups."""
        if choice is THE and not noun.mass:
            if self._rng.chance(5) and not noun.pronoun:
                return (self._rng.pick(numbers.ORDINALS),)
            if self._rng.chance(2 if noun.pronoun else 8):
                superlative = self._adjective(self._rng.pick(noun.adjectives))
                if superlative.gradable:
                    return ((superlative.english[2], superlative.german[2]),)
        count = self._rng.weighted({0: 62, 1: 32, 2: 6})
        chosen = {}
        for _ in range(count):
            adjective = self._adjective(self._rng.pick(noun.adjectives))
            chosen[adjective.rank] = adjective
        return tuple((chosen[rank].english[0], chosen[rank].german[0]) for rank in sorted(chosen))

    def _adjective(self, group):
        return self._rng.pick(lexicon.adjectives()[group])

    def _attribute(self, noun, choice):
        """What follows the noun: from Munich, with the red roof, of the old house, of wine."""
        contents = _CONTENTS.get(noun.english)
        if contents and choice in (A, THE, THIS, "number") and self._rng.chance(45):
            drink = lexicon.nouns_of((self._rng.pick(contents),))[0]
            return ["of", drink.english], [drink.german]
        if choice not in (THE, A) or not self._rng.chance(9):
            return NOTHING
        if noun.is_a("profession") or noun.is_a("tourist"):
            if self._rng.chance(50):
                town = CountryName(*self._rng.pick(lexicon.words()["town"]))
                return ["from", *town.english("a")], ["aus", *town.german("d")]
            return self._with(_CARRIED)
        if noun.is_a("building"):
            return self._with(("roof", "gate", "door"))
        if noun.is_a("part") or noun.is_a("room"):
            building = NounPhrase(self._rng.pick(lexicon.nouns_of(("building", "home"))), THE)
            return ["of", *building.english("a")], building.german("g")
        return NOTHING

    def _with(self, classes):
        color = self._adjective("color")
        nominal = NounPhrase(self._noun(classes), self._rng.pick((A, THE)),
                             ((color.english[0], color.german[0]),))
        return prepositional("with", "mit", "d", nominal)[:2]
