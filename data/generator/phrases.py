"""Noun phrases: what a clause has as its subject and objects, in every case of both languages.

All of them offer
  english(case)  the words in English; case is "n" (subject) or anything else (object)
  german(case)   the words in German, case one of n, a, d, g, without a relative clause
  tail           (English, German) words of the relative clause that belongs to it
and the attributes of Nominal.
"""

import dataclasses

from . import english, german

_ENGLISH_PRONOUNS = {"I": "me", "you": "you", "he": "him", "she": "her", "it": "it", "we": "us",
                     "they": "them"}
_PRONOUN_OF = ("I", "you", "he", "we", "they")
NOTHING = ((), ())


class Nominal:
    """The defaults of a noun phrase."""

    agreement = english.HE  # person and number in English
    german_agreement = property(lambda self: self.agreement)
    gender = "m"  # m, f, n or p
    pronoun = ""  # English pronoun that can take it up again; "none": none can
    is_pronoun = False
    definite = True
    negatable = True  # may stand in a negated clause
    tail = NOTHING
    is_relative = False
    contracts = False  # begins with a definite article that may merge with a preposition
    is_thing = False


class Pronoun(Nominal):
    """I, you, he, she, it, we, they; German `it` takes the gender of what it stands for."""

    is_pronoun = True

    def __init__(self, word, gender="n", thing=None):
        """thing: the noun that it or they stands for, None for people."""
        self.pronoun = word
        self.noun = thing
        self.is_thing = thing is not None
        self.gender = gender
        self.agreement = {"I": 0, "you": 1, "we": 3, "they": 4}.get(word, 2)
        by_gender = {"m": "he", "f": "she", "n": "it", "p": "they"}
        self._german = german.PERSONAL[by_gender[gender] if word == "it" else word]

    def english(self, case):
        return [self.pronoun if case == "n" else _ENGLISH_PRONOUNS[self.pronoun]]

    def german(self, case):
        return [self._german["nad".index(case)]]


class Expletive(Nominal):
    """The subject of "there are two doors" (es gibt) and of "it is raining" (es regnet)."""

    is_pronoun = True
    pronoun = "none"

    def __init__(self, word, agreement=english.HE):
        self._word = word
        self.agreement = agreement

    german_agreement = english.HE

    def english(self, case):
        return [self._word]

    def german(self, case):
        return ["es"]


class Name(Nominal):
    """A person (Anna, Dr. Weber) or a town; with a title, which German declines."""

    def __init__(self, name, pronoun, titles=None):
        self._name = name
        self.pronoun = pronoun
        self.gender = {"he": "m", "she": "f"}.get(pronoun, "n")
        self._titles = titles  # (English, German nominative, German other cases)

    def english(self, case):
        return [self._titles[0], self._name] if self._titles else [self._name]

    def german(self, case):
        if not self._titles:
            return [self._name]
        return [self._titles[1] if case == "n" else self._titles[2], self._name]


class Coordinated(Nominal):
    """Two noun phrases joined by and."""

    gender = "p"

    def __init__(self, first, second):
        self.agreement = english.WE if english.I in (first.agreement, second.agreement) \
            else english.THEY
        self.pronoun = _PRONOUN_OF[self.agreement]
        self._parts = first, second
        self.tail = second.tail
        self.definite = first.definite and second.definite
        self.negatable = first.negatable and second.negatable

    def english(self, case):
        first, second = self._parts
        return [*first.english(case), "and", *second.english(case)]

    def german(self, case):
        first, second = self._parts
        return [*first.german(case), "und", *second.german(case)]


class RelativePronoun(Nominal):
    """who, whom, that, which: der, den, dem, ..."""

    is_relative = True

    def __init__(self, antecedent):
        self.gender = antecedent.gender
        self.agreement = antecedent.agreement
        self.pronoun = antecedent.pronoun
        self.is_thing = antecedent.is_thing

    def english(self, case):
        if self.is_thing:
            return ["which" if case == "preposition" else "that"]
        return ["who" if case == "n" else "whom"]

    def german(self, case):
        return [german.RELATIVE[case, self.gender]]


class Interrogative(Nominal):
    """who (wer, wen, wem) and what (was)."""

    pronoun = "none"
    negatable = False

    def __init__(self, is_thing):
        self.is_thing = is_thing

    def english(self, case):
        return ["what"] if self.is_thing else ["who" if case == "n" else "whom"]

    def german(self, case):
        return ["was"] if self.is_thing else [{"n": "wer", "a": "wen", "d": "wem"}[case]]


@dataclasses.dataclass(frozen=True)
class Determiner:
    """Article, possessive, quantifier: its words and how German declines it and what follows.

    pattern: definite (der), strong (dieser), mixed (ein), fixed (not declined: drei, Annas)
    """

    english: str
    english_plural: str
    german: str
    pattern: str
    definite: bool = True
    negatable: bool = True

    def german_words(self, case, gender):
        """The German determiner."""
        if self.pattern == "definite":
            return [german.DEFINITE[case, gender]]
        if self.pattern == "fixed":
            return self.german.split()
        endings = german.MIXED_DETERMINER if self.pattern == "mixed" else german.STRONG_DETERMINER
        return [self.german + endings[case, gender]]

    def adjective_endings(self):
        """The table of endings of an adjective after this determiner."""
        if self.pattern == "fixed" or (self.pattern == "strong" and not self.definite):
            return german.STRONG
        return german.MIXED if self.pattern == "mixed" else german.WEAK


THE = Determiner("the", "the", "", "definite")
A = Determiner("a", "", "ein", "mixed", definite=False)
NO = Determiner("no", "no", "kein", "mixed", definite=False)
BARE = Determiner("", "", "", "fixed", definite=False)
THIS = Determiner("this", "these", "dies", "strong")
EVERY = Determiner("every", "", "jed", "strong", negatable=False)
WHICH = Determiner("which", "which", "welch", "strong")
ALL = Determiner("", "all the", "all", "strong", negatable=False)
BOTH = Determiner("", "both", "beid", "strong", negatable=False)
MANY = Determiner("", "many", "viel", "strong", definite=False, negatable=False)
SOME = Determiner("", "some", "einig", "strong", definite=False, negatable=False)
SEVERAL = Determiner("", "several", "mehrer", "strong", definite=False, negatable=False)
HOW_MANY = Determiner("", "how many", "wie viele", "fixed", definite=False, negatable=False)
POSSESSIVES = {
    "I": Determiner("my", "my", "mein", "mixed"),
    "you": Determiner("your", "your", "dein", "mixed"),
    "he": Determiner("his", "his", "sein", "mixed"),
    "she": Determiner("her", "her", "ihr", "mixed"),
    "we": Determiner("our", "our", "unser", "mixed"),
    "they": Determiner("their", "their", "ihr", "mixed"),
}


def number_determiner(words):
    """A number of things, from its (English, German) words."""
    return Determiner("", words[0], words[1], "fixed", definite=False, negatable=False)


def owner_determiner(english_owner, german_owner):
    """A genitive that stands first: Anna's (Annas), whose (dessen)."""
    return Determiner(english_owner, english_owner, german_owner, "fixed")


class NounPhrase(Nominal):
    """Determiner, adjectives, noun, and what follows the noun."""

    def __init__(self, noun, determiner, adjectives=(), is_plural=False, attribute=NOTHING,
                 owner=None):
        """adjectives: (English, German stem) pairs. attribute: words after the noun.

        owner: a noun phrase in the genitive: the teacher's car, das Auto des Lehrers.
        """
        self.noun = noun
        self.determiner = determiner
        self.adjectives = adjectives
        self.is_plural = is_plural
        self.attribute = attribute
        self.owner = owner
        self.tail = NOTHING
        self.negated = False  # kein instead of ein
        self.bare_predicate = False  # Sie ist Lehrerin: no article in German
        self.agreement = english.THEY if is_plural else english.HE
        self.gender = "p" if is_plural else noun.gender
        self.is_thing = not noun.pronoun
        self.pronoun = "they" if is_plural else noun.pronoun or "it"
        self.definite = determiner.definite
        self.negatable = determiner.negatable

    @property
    def contracts(self):
        return self.determiner is THE and self.tail is NOTHING

    def english(self, case):
        determiner = self.determiner.english_plural if self.is_plural else self.determiner.english
        words = [word for adjective, _ in self.adjectives for word in adjective.split()]
        words += (self.noun.plural if self.is_plural else self.noun.english).split()
        if self.owner:
            owner = self.owner.english("n")
            first = [*owner[:-1], owner[-1] + ("'" if owner[-1].endswith("s") else "'s")]
        elif determiner == "a":
            first = [english.indefinite(words[0])]
        else:
            first = determiner.split()
        return [*first, *words, *self.attribute[0]]

    def german(self, case):
        determiner = NO if self.negated else self.determiner
        endings = determiner.adjective_endings()
        words = [] if self.bare_predicate and not self.negated \
            else determiner.german_words(case, self.gender)
        words += [german.adjective_form(stem, endings, case, self.gender)
                  for _, stem in self.adjectives]
        words.append(german.noun_form(self.noun, case, self.is_plural))
        if self.owner:
            words += self.owner.german("g")
        return [*words, *self.attribute[1]]


class CountryName(Nominal):
    """A country or town; some German countries take an article."""

    pronoun = "none"
    is_thing = True

    def __init__(self, english_name, german_name):
        self._english = english_name.split()
        words = german_name.split()
        self._gender = words.pop() if words[0] == "die" else ""
        self._german = words
        self.contracts = False

    def english(self, case):
        return self._english

    def german(self, case):
        if not self._gender:
            return self._german
        words = [german.DEFINITE[case, self._gender], *self._german[1:]]
        if self._gender == "p" and case == "d" and not words[-1].endswith("n"):
            words[-1] += "n"
        return words

    @property
    def has_article(self):
        return bool(self._gender)


def prepositional(english_preposition, german_preposition, case, nominal):
    """(English, German, German relative clause) words of a prepositional phrase."""
    german_words = nominal.german(case)
    german_words = german.contract(german_preposition, german_words) if nominal.contracts \
        else [*german_preposition.split(), *german_words]
    english_words = [*english_preposition.split(), *nominal.english("preposition")]
    english_words += nominal.tail[0]
    return english_words, german_words, list(nominal.tail[1])
