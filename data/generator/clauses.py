"""Draws clauses about who does what, when and where, in a tense that suits."""

from . import english, lexicon
from .clause import Clause, Complement, Words
from .facts import Facts
from .phrases import A, Expletive, NounPhrase, Pronoun
from .verb_group import (BE, CAN, COULD, FUTURE, HAD_TO, HAVE, LEARN, LIKE, MAY, MUST, PASSIVE,
                         PAST, PAST_PASSIVE, PERFECT, PLUPERFECT, PRESENT, PROGRESSIVE, SHOULD,
                         SINCE, SPEAK, STATIC_PAST, STATIC_PRESENT, WANT, WANTED)

# When a sentence plays: its clauses take tenses of this time.
PRESENT_WORLD, PAST_WORLD, PERFECT_WORLD, FUTURE_WORLD = "present", "past", "perfect", "future"


class Clauses:
    """Draws clauses about people and things; `facts` draws the others."""

    def __init__(self, rng, phrasing, adverbials):
        self._rng = rng
        self._phrasing = phrasing
        self._adverbials = adverbials
        self._facts = Facts(rng, phrasing, adverbials, self)

    def any(self, world, subject=None, detail=60):
        """A clause of any kind; with a subject given (a person), about that subject.

        detail: the chance in a hundred of each optional adverbial.
        """
        kind = self._rng.weighted(
            {"action": 78, "state": 17, "speech": 5} if subject else
            {"action": 54, "thing": 10, "state": 9, "passive": 7, "fact": 14, "speech": 3,
             "lasting": 3 * (world == PRESENT_WORLD)})
        if kind == "fact":
            return self._facts.any(world)
        if kind == "passive":
            return self.passive(world)
        if kind == "thing":
            return self.thing(world)
        subject = subject or self._phrasing.person()
        if kind == "state":
            return self.state(world, subject)
        if kind == "action":
            return self.action(world, subject, detail)
        return self.speech(world, subject) if kind == "speech" else self.lasting(subject)

    def tense(self, world, verb, subject):
        """A tense of the world that the verb allows with this subject.

        Where English would not tell present from past (they read, they put), a modal verb is
        taken, and so it is for "you" in the past (German du last is bookish).
        """
        free = not subject.is_thing and not any(flag in verb.flags for flag in lexicon.UNWILLED)
        if world == FUTURE_WORLD:
            modal = self._rng.pick((CAN, MUST, WANT, SHOULD)) if free else FUTURE
            return modal if self._rng.chance(30) else FUTURE
        if world == PERFECT_WORLD and "state" not in verb.flags and "static" not in verb.flags:
            return PERFECT
        simple = self.simple_tense(world, verb, subject)
        if world == PAST_WORLD:
            modal = self._rng.pick((COULD, HAD_TO, WANTED)) if free else simple or PERFECT
            return simple if simple and self._rng.chance(85) else modal
        if "once" in verb.flags:
            return PERFECT
        progressive = not any(flag in verb.flags for flag in ("plain", "state", "static"))
        if not (simple or progressive or free):
            return PERFECT
        modal = self._rng.weighted({CAN: 2, MUST: 2, WANT: 2, SHOULD: 2, MAY: 1})
        return self._rng.weighted({simple: 50 if simple else 0, PROGRESSIVE: 22 * progressive,
                                   modal: 24 * free})

    @staticmethod
    def simple_tense(world, verb, subject):
        """The simple present or past, or None where the two cannot be told apart."""
        past = world == PAST_WORLD
        if verb.base == verb.english_past and subject.agreement != english.HE:
            return None
        if past and subject.agreement == english.YOU and verb is not BE and verb is not HAVE:
            return PRESENT if "state" in verb.flags else None
        if "static" in verb.flags:
            return STATIC_PAST if past else STATIC_PRESENT
        return PAST if past else PRESENT

    def action(self, world, subject, detail=60, verb=None):
        """Somebody does something."""
        verb = verb or self._rng.pick(lexicon.verbs_of(self.classes(subject)))
        liking = world == PRESENT_WORLD and "fun" in verb.flags and self._rng.chance(12)
        clause = Clause(subject, verb, LIKE if liking else self.tense(world, verb, subject))
        self.fill(clause)
        self._adorn(clause, world, detail)
        return clause

    def event(self, world, subject=None):
        """Something that happens once, in the simple tense: what "before" or "until" introduce."""
        past = world == PAST_WORLD
        while not subject or subject.is_thing or (past and subject.agreement == english.YOU):
            subject = self._phrasing.person()
        verbs = [verb for verb in lexicon.verbs_of(self.classes(subject), ("state",))
                 if self.simple_tense(world, verb, subject)]
        verb = self._rng.pick(verbs)
        clause = Clause(subject, verb, self.simple_tense(world, verb, subject))
        self.fill(clause)
        if verb.places and not clause.predicate and self._rng.chance(30):
            clause.place = self._adverbials.place(verb.places)
        return clause

    @staticmethod
    def classes(subject):
        """The classes of a subject's noun; names and pronouns without one are people."""
        noun = getattr(subject, "noun", None)
        return noun.classes if noun else ("person",)

    def fill(self, clause):
        """Draws the objects, directions and places that the verb asks for."""
        for slot in clause.verb.slots:
            if slot.kind in ("acc", "dat"):
                clause.complements.append(self.complement(slot, clause.subject))
            else:
                clause.predicate = self._local(slot)

    @staticmethod
    def say_to(clause):
        """gives it to the child: beside a fronted object or a pronoun English wants to."""
        for item in clause.complements:
            if item.case == "d" and not item.fronted:
                item.english_preposition = item.english_preposition or "to"

    def complement(self, slot, subject, nominal=None):
        """An object for a slot; a drawn one unless it is given."""
        nominal = nominal or self._object(slot, subject)
        return Complement(nominal, slot.kind[0], slot.german_preposition,
                          slot.english_preposition)

    def _object(self, slot, subject):
        if "person" in slot.classes and self._rng.chance(16):
            return self._object_pronoun(subject)
        if ("person" in slot.classes or "kin" in slot.classes) and self._rng.chance(16):
            return self._phrasing.name()
        return self._phrasing.object(slot.classes, subject.pronoun)

    def _object_pronoun(self, subject):
        """A person other than the subject."""
        others = {"I": ("you", "he", "she", "they"), "we": ("you", "he", "she", "they"),
                  "you": ("I", "he", "she", "we", "they")}
        return Pronoun(self._rng.pick(others.get(subject.pronoun,
                                                 ("I", "you", "he", "she", "we", "they"))))

    def _local(self, slot):
        if slot.kind == "dir":
            return self._adverbials.destination(slot.classes)
        if slot.kind == "loc":
            return self._adverbials.place(slot.classes, within_town=0)
        if slot.kind == "home":
            return Words.of("home", "nach Hause")
        if slot.kind == "from":
            return self._adverbials.origin()
        return self._adverbials.target(slot.classes, over=slot.kind == "over")

    def _adorn(self, clause, world, detail):
        """Negation or adverbials, and perhaps one of them in first place."""
        verb, rng, habit = clause.verb, self._rng, clause.tense is PRESENT
        can_deny = clause.tense not in (LIKE, PROGRESSIVE) and clause.subject.negatable and all(
            item.nominal.negatable for item in clause.complements)
        clause.negated = can_deny and rng.chance(11)
        timeless = "state" in verb.flags or clause.tense in (LIKE, PROGRESSIVE, STATIC_PRESENT)
        if not clause.negated:
            if verb.manners and rng.chance(detail * 2 // 5):
                clause.manner = self._adverbials.manner(verb.manners)
            if verb.places and not clause.predicate and rng.chance(detail):
                clause.place = self._adverbials.place(verb.places)
            if clause.tense in (PRESENT, PAST) and not timeless and not clause.manner \
                    and rng.chance(detail // 3):
                clause.middle = self._adverbials.often()
                return
        rare = clause.tense is PERFECT or clause.negated
        if not timeless and not (clause.negated and habit) \
                and rng.chance(detail // 2 if rare else detail):
            clause.time = self.time(clause, world)
        self.move_to_front(clause)

    def move_to_front(self, clause):
        """Perhaps puts the time or the place first."""
        if clause.time and self._rng.chance(40):
            clause.front = "time"
        elif clause.place and self._rng.chance(12):
            clause.front = "place"

    def time(self, clause, world):
        """A time that suits the tense and the verb, None for a tense that takes none."""
        era = "era" in clause.verb.flags
        if clause.tense in (PRESENT, PASSIVE):
            return self._adverbials.time("present", era)
        if clause.tense is PERFECT:
            return self._adverbials.time("perfect", era)
        if clause.tense in (PAST, STATIC_PAST, COULD, HAD_TO, WANTED, PAST_PASSIVE):
            return self._adverbials.time("past", era)
        if clause.tense in (PLUPERFECT, PROGRESSIVE, STATIC_PRESENT, LIKE, SINCE):
            return None
        return self._adverbials.time("future", era)

    def state(self, world, subject, passing=False):
        """Somebody is tired, a teacher, at home, twenty years old; has no time.

        passing: only what soon may be over.
        """
        tense = PAST if world == PAST_WORLD else FUTURE if world == FUTURE_WORLD else PRESENT
        named = isinstance(subject, (NounPhrase, Pronoun)) or subject.pronoun in ("he", "she")
        single = subject.agreement in (english.I, english.YOU, english.HE) and named
        kind = self._rng.weighted({"mood": 46, "home": 10, "have": 18} if passing else {
            "mood": 46, "home": 10, "job": 12 * (single and not subject.is_relative),
            "age": 10 * (single and tense is PRESENT), "trait": 12, "have": 18})
        if kind == "have":
            had = Words.of(*self._rng.pick(lexicon.words()["had"]))
            return Clause(subject, HAVE, tense, predicate=had)
        clause = Clause(subject, BE, tense, negated=subject.negatable and self._rng.chance(12),
                        permanent=kind in ("job", "age", "trait"))
        if kind == "job":
            clause.complements.append(Complement(self._profession(subject), "n"))
        elif kind == "age":
            clause.negated = False
            ages = (3, 12) if "young" in self.classes(subject) else (21, 98)
            years = self._facts.number(*ages)
            clause.predicate = Words.of(f"{years[0]} years old", f"{years[1]} Jahre alt")
        elif kind == "home":
            clause.predicate = Words.of("at home", "zu Hause")
        else:
            clause.predicate = self._facts.adjective(kind)
        return clause

    def _profession(self, subject):
        """a nurse (Krankenschwester), a strict judge (ein strenger Richter)"""
        nouns = [noun for noun in lexicon.nouns_of(("profession",))
                 if subject.pronoun not in ("he", "she") or subject.pronoun == noun.pronoun]
        phrase = NounPhrase(self._rng.pick(nouns), A)
        if self._rng.chance(50):
            adjective = self._rng.pick(lexicon.adjectives()["trait"])
            phrase.adjectives = ((adjective.english[0], adjective.german[0]),)
        phrase.bare_predicate = not phrase.adjectives
        return phrase

    def speech(self, world, subject):
        """Somebody speaks or learns a language."""
        language = self._rng.pick(lexicon.words()["language"])
        verb = self._rng.pick((SPEAK, LEARN))
        clause = Clause(subject, verb, self.tense(world, verb, subject))
        clause.predicate = Words.of(*language)
        if self._rng.chance(40):
            clause.time = self.time(clause, world)
        return clause

    def lasting(self, subject):
        """Somebody has lived there for ten years (German: present tense)."""
        verb = self._rng.pick([verb for verb in lexicon.verbs()
                               if verb.base in ("live", "work", "know", "wait")])
        clause = Clause(subject, verb, SINCE)
        self.fill(clause)
        if verb.places and not clause.complements:
            clause.place = self._adverbials.place(verb.places)
        clause.time = self._adverbials.duration(era=verb.base != "wait")
        return clause

    def thing(self, world):
        """Something stands, disappears, belongs to somebody, is red."""
        verb = self._rng.pick([verb for verb in lexicon.verbs() if "person" not in verb.subjects])
        subject = self._phrasing.subject(verb.subjects)
        if self._rng.chance(70):
            return self.action(world, subject, verb=verb)
        subject.adjectives = ()
        return self.quality(world, subject)

    def quality(self, world, subject):
        """Something (a noun phrase, or a pronoun for a thing) is old, red, expensive."""
        tense = PAST if world == PAST_WORLD else PRESENT
        group = self._rng.pick(subject.noun.adjectives)
        return Clause(subject, BE, tense, predicate=self._facts.adjective(group),
                      negated=subject.negatable and self._rng.chance(12))

    def passive(self, world):
        """Something is done, perhaps by somebody."""
        verb = self._rng.pick([verb for verb in lexicon.verbs() if "pass" in verb.flags])
        slot = verb.slots[0]
        subject = self._phrasing.subject(slot.classes)
        tense = PASSIVE if world in (PRESENT_WORLD, FUTURE_WORLD) and "once" not in verb.flags \
            else PAST_PASSIVE
        clause = Clause(subject, verb, tense)
        if self._rng.chance(45):
            agent = self._phrasing.object(("person",)) if self._rng.chance(70) \
                else self._phrasing.name()
            clause.complements.append(Complement(agent, "d", "von", "by"))
        if self._rng.chance(60):
            clause.time = self.time(clause, world)
            self.move_to_front(clause)
        return clause

    def settled(self, clause, world):
        """The clause in a tense that says what happens, not what is going on just now."""
        if clause.tense is PROGRESSIVE:
            clause.tense = self.simple_tense(world, clause.verb, clause.subject) or CAN
        return clause

    def take_up(self, world, subject, nominal, done):
        """What else than `done` somebody does with a thing just named: she needed it. Or None."""
        verbs = [verb for verb in lexicon.verbs_of(("person",))
                 if verb.base != done.base and verb.slots and verb.slots[0].kind == "acc"
                 and not verb.slots[0].german_preposition
                 and any(name in nominal.noun.classes for name in verb.slots[0].classes)]
        if not verbs:
            return None
        verb = self._rng.pick(verbs)
        clause = Clause(subject, verb, self.tense(world, verb, subject))
        self.fill(clause)
        clause.complements[0] = self.complement(verb.slots[0], subject, Pronoun(
            "they" if nominal.is_plural else "it", nominal.gender, nominal.noun))
        self.say_to(clause)
        return clause

    def impersonal(self, world, words):
        """It is important (that or to ...)."""
        tense = PAST if world == PAST_WORLD else PRESENT
        return Clause(Expletive("it"), BE, tense, predicate=Words.of(*words))
