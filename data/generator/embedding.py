"""Puts clauses into clauses: relative, adverbial, object clauses and infinitives."""

from . import lexicon
from .clause import INFINITIVE, SUBORDINATE, Clause
from .clauses import FUTURE_WORLD, PAST_WORLD, PERFECT_WORLD, PRESENT_WORLD
from .phrases import BARE, NO, NOTHING, THE, Expletive, NounPhrase, Pronoun
from .relatives import Relatives
from .verb_group import (CAN, COULD, PAST, PERFECT, PLUPERFECT, PRESENT, PROGRESSIVE, SINCE,
                         STATIC_PRESENT)

# Conjunctions: (English, German, time of the clause they introduce), by that of the main clause.
_REASONS = (("because", "weil"), ("although", "obwohl"))
_COMPLETED = "completed"  # pluperfect after a past, perfect after a present
_CONJUNCTIONS = {
    PAST_WORLD: (("when", "als", PAST_WORLD), ("while", "während", PAST_WORLD),
                 ("before", "bevor", PAST_WORLD), ("after", "nachdem", _COMPLETED),
                 ("until", "bis", PAST_WORLD), ("as soon as", "sobald", PAST_WORLD)),
    PRESENT_WORLD: (("when", "wenn", PRESENT_WORLD), ("while", "während", PRESENT_WORLD),
                    ("if", "wenn", PRESENT_WORLD), ("before", "bevor", PRESENT_WORLD),
                    ("after", "nachdem", _COMPLETED), ("until", "bis", PRESENT_WORLD)),
    PERFECT_WORLD: (),
    FUTURE_WORLD: (("if", "wenn", PRESENT_WORLD), ("as soon as", "sobald", PRESENT_WORLD),
                   ("when", "wenn", PRESENT_WORLD), ("before", "bevor", PRESENT_WORLD),
                   ("after", "nachdem", _COMPLETED)),
}


class Embedding:
    """Draws clauses with other clauses in them."""

    def __init__(self, rng, phrasing, clauses):
        self._rng = rng
        self._phrasing = phrasing
        self._clauses = clauses
        self._relatives = Relatives(rng, phrasing, clauses)
        self._used = set()  # the conjunctions of this sentence

    def begin(self):
        """Begins a new sentence: every conjunction may be used (once) again."""
        self._used.clear()

    def use(self, conjunction):
        """Takes a conjunction; False if this sentence has it already."""
        fresh = conjunction not in self._used
        self._used.add(conjunction)
        return fresh

    def clause(self, world, size, subject=None):
        """A main clause with size - 1 clauses in it."""
        if size > 1 and self._rng.chance(38):
            matrix = self._rng.weighted({self._saying: 40, self._asking: 20, self._trying: 24,
                                         self._urging: 14, self._judging: 10})
            return matrix(world, size, subject)
        clause = self.about(world, subject, 45) if subject else self._clauses.any(world)
        self.expand(clause, world, size - 1, may_front=True)
        return clause

    @staticmethod
    def pronoun(nominal):
        """The pronoun that takes a noun phrase up again, None where English has no sure one."""
        if nominal.pronoun == "none" or (nominal.is_thing and nominal.noun is None):
            return None
        return Pronoun(nominal.pronoun, nominal.gender, nominal.noun if nominal.is_thing else None)

    def about(self, world, subject, detail):
        """A clause about a given subject, which may be the pronoun of a thing."""
        if not subject.is_thing:
            return self._clauses.any(world, subject, detail)
        if not lexicon.verbs_of(subject.noun.classes) or self._rng.chance(50):
            return self._clauses.quality(world, subject)
        return self._clauses.action(world, subject, detail)

    def expand(self, clause, world, budget, may_front=False, with_subject=True,
               with_adverbial=True):
        """Adds up to `budget` clauses: relative clauses, and one that follows.

        may_front: the clause is a statement, whose time may be moved to the front.
        with_subject: its subject may take a relative clause.
        with_adverbial: a clause with because, when, ... may follow.
        """
        while budget > 0:
            if self._rng.chance(55) and self._relate(clause, world, may_front, with_subject):
                budget -= 1
                continue
            size = self._rng.between(1, budget)
            tail = None
            if not clause.tails and self._can_have_purpose(clause) and self._rng.chance(60):
                tail = self._purpose(clause, world, size)
            elif not clause.tails and with_adverbial:
                tail = self.adverbial(world, clause, size)
            if not tail:
                self._relate(clause, world, may_front, with_subject)
                return
            clause.tails.append(tail)
            budget -= size

    def _relate(self, clause, world, may_front, with_subject):
        """A relative clause for the subject or for what stands last; False if neither takes one.

        Behind a relative clause in the middle of a clause English would leave open which of the
        two verbs an adverbial belongs to.
        """
        if clause.time and clause.front != "time":
            if may_front and clause.lead is NOTHING and not clause.opener and not clause.front:
                clause.front = "time"
        choices = [clause.subject] if with_subject and not clause.middle else []
        last = self._last_phrase(clause)
        choices += [last] if last else []
        choices = [nominal for nominal in choices if self._takes_relative(nominal)]
        if not choices:
            return False
        nominal = self._rng.pick(choices)
        clause.middle = None
        nominal.tail = self._relatives.draw(nominal, world)
        return nominal.tail is not NOTHING

    @staticmethod
    def _last_phrase(clause):
        """The noun phrase that ends the English clause, or None."""
        if clause.time and clause.front != "time":
            return None
        if clause.place and clause.front != "place":
            return clause.place.nominal
        if clause.manner:
            return None
        if clause.predicate:
            return clause.predicate.nominal
        shown = [item for item in clause.complements if not item.fronted and not item.stranded]
        shown.sort(key=lambda item: bool(item.english_preposition))
        return None if not shown or clause.verb.english_rest and shown[-1].nominal.is_pronoun \
            else shown[-1].nominal

    @staticmethod
    def _takes_relative(nominal):
        """The, a or a number of things, with nothing behind them yet."""
        return isinstance(nominal, NounPhrase) and nominal.tail is NOTHING \
            and nominal.attribute is NOTHING and not nominal.owner and not nominal.noun.mass \
            and not nominal.bare_predicate and (nominal.determiner is THE or not (
                nominal.definite or nominal.determiner in (BARE, NO)))

    def adverbial(self, world, main, size, new_subject=None):
        """(English, German) words of a clause with because, when, ...; None if none suits.

        main: the clause that it belongs to, whose subject is often taken up; new_subject: one to
        take for sure.
        """
        reasons, times = self._conjunctions(world, main)
        if not reasons and not times:
            return None
        if not new_subject and self._rng.chance(60):
            new_subject = self.pronoun(main.subject)
        if reasons and (not times or self._rng.chance(50)):
            english_word, german_word = self._rng.pick(reasons)
            self._used.add(english_word)
            states = 20 if "state" in main.verb.flags else 60
            clause = self._reason(self._reason_world(world), new_subject, size, states)
        else:
            english_word, german_word, inner_world = self._rng.pick(times)
            self._used.add(english_word)
            clause = self._occasion(english_word, inner_world, world, new_subject, size)
        comma = [","] if english_word == "although" else []
        return ([*comma, *english_word.split(), *clause.english(SUBORDINATE)],
                [",", german_word, *clause.german(SUBORDINATE), ","])

    def _conjunctions(self, world, main):
        """(reasons, times): the conjunctions still unused that suit the main clause."""
        lasts = "state" in main.verb.flags
        if main.permanent or isinstance(main.subject, Expletive):
            return [], []
        reasons = [] if main.subject.is_thing else _REASONS
        times = _CONJUNCTIONS[world]
        if lasts or main.tense in (PROGRESSIVE, STATIC_PRESENT, SINCE):
            times = []
        if "long" not in main.verb.flags:
            times = [item for item in times if item[0] != "until"]
        return tuple([item for item in items if item[0] not in self._used]
                     for items in (reasons, times))

    def _reason_world(self, world):
        return self._rng.pick({
            PAST_WORLD: (PAST_WORLD,), FUTURE_WORLD: (PRESENT_WORLD, FUTURE_WORLD)}.get(
                world, (PRESENT_WORLD, PERFECT_WORLD)))

    def _reason(self, world, subject, size, states):
        """What comes after because and although: in `states` of a hundred cases a state."""
        if self._rng.chance(states) and not (subject and subject.is_thing):
            clause = self._clauses.state(world, subject or self._phrasing.person(), passing=True)
        else:
            clause = self.about(world, subject, 15) if subject \
                else self._clauses.any(world, None, 15)
        return self._embedded(clause, world, size)

    def _occasion(self, conjunction, inner_world, main_world, subject, size):
        """What comes after when, before, until, ...: an event."""
        if inner_world == _COMPLETED:
            past = main_world == PAST_WORLD
            clause = self._completed(subject, PLUPERFECT if past else PERFECT)
            inner_world = PAST_WORLD if past else PRESENT_WORLD
        elif conjunction in ("when", "while", "if") and self._rng.chance(25):
            clause = self._clauses.state(inner_world, self._person(subject), passing=True)
            clause.negated = False
        else:
            clause = self._clauses.event(inner_world, subject)
        return self._embedded(clause, inner_world, size)

    def _person(self, subject):
        """The subject if it is a person, or another person."""
        return self._phrasing.person() if not subject or subject.is_thing else subject

    def _embedded(self, clause, world, size, with_adverbial=False):
        """A clause ready to be subordinate: nothing stands before its subject."""
        clause.front = ""
        self.expand(clause, world, size - 1, with_adverbial=with_adverbial)
        return clause

    def _completed(self, subject, tense):
        """Somebody had done something (or has done it)."""
        subject = self._person(subject)
        while True:
            clause = self._clauses.action(PERFECT_WORLD, subject, 20)
            if clause.tense is PERFECT:
                clause.tense, clause.time, clause.negated = tense, None, False
                return clause

    def _saying(self, world, size, subject):
        """She says that ..."""
        clause = self._matrix("saying", world, subject)
        inner_world = self._rng.pick({
            PAST_WORLD: (PAST_WORLD, PAST_WORLD, _COMPLETED),
            FUTURE_WORLD: (PRESENT_WORLD, FUTURE_WORLD)}.get(
                world, (PRESENT_WORLD, PAST_WORLD, PERFECT_WORLD, FUTURE_WORLD)))
        inner_subject = self.pronoun(clause.subject) if self._rng.chance(35) else None
        if inner_world == _COMPLETED:
            inner = self._completed(inner_subject, PLUPERFECT)
        else:
            inner = self._clauses.any(inner_world, inner_subject, 35)
        inner_world = PAST_WORLD if inner_world == _COMPLETED else inner_world
        self._embedded(inner, inner_world, size - 1, with_adverbial=True)
        clause.tails.append(self._introduced(inner, "that", "dass"))
        return clause

    @staticmethod
    def _introduced(clause, english_word, german_word):
        return ([*english_word.split(), *clause.english(SUBORDINATE)],
                [",", german_word, *clause.german(SUBORDINATE), ","])

    def _asking(self, world, size, subject):
        """She asks whether, when, why ..."""
        kind = "asking" if self._rng.chance(65) else "explaining"
        clause = self._matrix(kind, world, subject)
        inner_world = PAST_WORLD if world == PAST_WORLD else PRESENT_WORLD
        inner = self._clauses.any(inner_world, None, 25)
        words = [("why", "warum")]
        if kind == "asking":
            words.append(("whether", "ob"))
        dated = inner.time or inner.middle or inner.tense is PROGRESSIVE
        if kind == "asking" and not dated and "state" not in inner.verb.flags:
            words.append(("when", "wann"))
        self._embedded(inner, inner_world, size - 1)
        clause.tails.append(self._introduced(inner, *self._rng.pick(words)))
        return clause

    def _matrix(self, group, world, subject):
        """The clause that another one is the object of, with a verb of the group."""
        word = self._rng.pick(lexicon.matrix_verbs()[group])
        subject = self._person(subject)
        clause = Clause(subject, word, self._clauses.tense(world, word, subject))
        self._clauses.fill(clause)
        if self._rng.chance(25) and clause.tense in (PAST, PERFECT):
            clause.time = self._clauses.time(clause, world)
            self._clauses.move_to_front(clause)
        return clause

    def _trying(self, world, size, subject):
        """She tries to open the window."""
        clause = self._matrix("trying", world, subject)
        clause.tails.append(self._infinitive(clause.subject, world, size - 1))
        return clause

    def _urging(self, world, size, subject):
        """She asks the guest to open the window."""
        clause = self._matrix("urging", world, subject)
        asked = clause.complements[0].nominal
        clause.tails.append(self._infinitive(asked, world, size - 1))
        return clause

    def _judging(self, world, size, _):
        """It is important to open the window; it is a pity that ..."""
        if self._rng.chance(60):
            judgement = self._rng.pick(lexicon.words()["judgement"])
            clause = self._clauses.impersonal(world, judgement)
            clause.tails.append(self._infinitive(Expletive("it"), world, size - 1))
            return clause
        clause = self._clauses.impersonal(world, self._rng.pick(lexicon.words()["fact"]))
        inner = self._embedded(self._clauses.any(world, None, 30), world, size - 1, True)
        clause.tails.append(self._introduced(inner, "that", "dass"))
        return clause

    def _infinitive(self, subject, world, size, opening=("", "")):
        """(English, German) words of an infinitive clause; the subject is only understood."""
        clause = self._willed_action(self.pronoun(subject) or Pronoun("he"))
        self.expand(clause, world, size - 1, with_subject=False, with_adverbial=False)
        return ([*opening[0].split(), *clause.english(INFINITIVE)],
                [",", *opening[1].split(), *clause.german(INFINITIVE), ","])

    def _willed_action(self, subject):
        """Something that one can decide to do."""
        verbs = lexicon.verbs_of(("person",), (*lexicon.UNWILLED, "noaim"))
        clause = self._clauses.action(PRESENT_WORLD, subject, 30, self._rng.pick(verbs))
        clause.tense, clause.time, clause.middle = PRESENT, None, None
        clause.front, clause.negated = "", False
        return clause

    @staticmethod
    def _can_have_purpose(clause):
        return "means" in clause.verb.flags and not clause.negated \
            and not clause.subject.is_thing and clause.tense not in (COULD, CAN)

    def _purpose(self, clause, world, size):
        """in order to rest; so that the guests can sleep"""
        if self._rng.chance(60):
            return self._infinitive(clause.subject, world, size, ("in order", "um"))
        inner = self._willed_action(self._phrasing.person())
        inner.tense = COULD if world == PAST_WORLD else CAN
        self.expand(inner, world, size - 1, with_adverbial=False)
        return self._introduced(inner, "so that", "damit")
