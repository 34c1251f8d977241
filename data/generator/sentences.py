"""Composes sentences of one or more clauses."""

from . import lexicon
from .clause import IMPERATIVE, QUESTION, SHARED, Words
from .clauses import FUTURE_WORLD, PAST_WORLD, PERFECT_WORLD, PRESENT_WORLD
from .phrases import HOW_MANY, WHICH, Interrogative, NounPhrase, Pronoun
from .text import sentence
from .verb_group import CAN, PRESENT, SINCE, WOULD

_WORLDS = {PAST_WORLD: 40, PRESENT_WORLD: 34, PERFECT_WORLD: 12, FUTURE_WORLD: 14}
# An unreal condition: its English predicate, its German one without and then its finite verb.
_UNREAL = (("had more time", "mehr Zeit", "hätte"), ("had more money", "mehr Geld", "hätte"),
           ("were rich", "reich", "wäre"), ("were not so tired", "nicht so müde", "wäre"),
           ("had a bigger house", "ein größeres Haus", "hätte"),
           ("were healthy", "gesund", "wäre"), ("could fly", "fliegen", "könnte"),
           ("had a vacation", "Urlaub", "hätte"), ("knew the way", "den Weg", "wüsste"))


class Sentences:
    """Draws sentences of a given number of clauses."""

    def __init__(self, rng, phrasing, clauses, embedding):
        self._rng = rng
        self._phrasing = phrasing
        self._clauses = clauses
        self._embedding = embedding

    def draw(self, size):
        """A sentence of about `size` clauses: (English, German)."""
        if size == 1:
            kind = self._rng.weighted({"statement": 66, "question": 9, "asking": 12, "command": 9,
                                       "opened": 4})
        else:
            kind = self._rng.weighted({
                "statement": 34, "lead": 22, "coordination": 26 if size < 4 else 70,
                "shared": 12, "unreal": 3, "question": 3})
        self._embedding.begin()
        self._phrasing.begin()
        if kind == "command":
            return self._command()
        world = self._rng.weighted(_WORLDS)
        mark = "?" if kind in ("question", "asking") else "."
        words = {"statement": self._statement, "question": self._question, "asking": self._asking,
                 "opened": self._opened, "lead": self._lead, "coordination": self._coordination,
                 "shared": self._shared, "unreal": self._unreal}[kind](world, size)
        return sentence(words[0], mark), sentence(words[1], mark)

    def _statement(self, world, size):
        clause = self._embedding.clause(world, size)
        return clause.english(), clause.german()

    def _question(self, world, size):
        """A question answered by yes or no."""
        clause = self._clauses.any(world)
        self._settle_question(clause)
        self._embedding.expand(clause, world, size - 1, with_subject=False)
        return clause.english(QUESTION), clause.german(QUESTION)

    @staticmethod
    def _settle_question(clause):
        """Takes back what a question cannot have."""
        clause.front = ""
        if clause.tense is CAN:
            clause.negated = False

    def _asking(self, world, _):
        """A question with who, what, which, where, when or why."""
        kind = self._rng.weighted({"who": 18, "object": 34, "where": 18, "when": 15, "why": 15})
        if kind == "who":
            clause = self._clauses.action(world, Interrogative(False), 40)
            clause.front = ""
            return clause.english(), clause.german()
        clause = self._clauses.action(world, self._phrasing.person(), detail=30)
        self._settle_question(clause)
        clause.negated = clause.negated and kind == "why"
        if kind == "object":
            return self._object_question(clause, world)
        if kind == "where":
            return self._where(clause, world)
        clause.opener = Words.of("why", "warum") if kind == "why" else Words.of("when", "wann")
        if kind == "when":
            clause.time = clause.middle = None
        return clause.english(QUESTION), clause.german(QUESTION)

    def _object_question(self, clause, world):
        """What is Anna reading? Which book ...? For whom ...?"""
        for slot, item in zip(clause.verb.slots, clause.complements):
            thing = item.nominal.is_thing
            if isinstance(item.nominal, NounPhrase) and thing and self._rng.chance(60):
                item.nominal = NounPhrase(item.nominal.noun, WHICH, (), item.nominal.is_plural)
                if item.nominal.is_plural and self._rng.chance(50):
                    item.nominal.determiner = HOW_MANY
            elif thing and slot.german_preposition:
                continue  # worauf, woran, ...: not in this grammar
            else:
                item.nominal = Interrogative(thing)
            item.fronted, item.stranded = True, "strand" in clause.verb.flags
            if slot.kind == "acc":
                self._clauses.say_to(clause)
            elif len(clause.complements) > 1:
                item.english_preposition = "to"
            return clause.english(QUESTION), clause.german(QUESTION)
        return self._asking(world, 1)

    def _where(self, clause, world):
        """Where does Anna live? And where (to) does she travel?"""
        verb = clause.verb
        kinds = [slot.kind for slot in verb.slots]
        if verb.base in ("go", "travel", "fly", "drive") and "dir" in kinds:
            clause.predicate, clause.opener = None, Words.of("where", "wohin")
        elif "loc" in kinds:
            clause.predicate, clause.opener = None, Words.of("where", "wo")
        elif verb.places and not clause.predicate:
            clause.place, clause.opener = None, Words.of("where", "wo")
        else:
            return self._asking(world, 1)
        return clause.english(QUESTION), clause.german(QUESTION)

    def _command(self):
        """Open the window! Please open the window."""
        you = Pronoun("you")
        verbs = lexicon.verbs_of(("person",), lexicon.UNWILLED)
        clause = self._clauses.action(PRESENT_WORLD, you, 30, self._rng.pick(verbs))
        clause.tense, clause.middle, clause.time, clause.front = PRESENT, None, None, ""
        words = clause.english(IMPERATIVE), clause.german(IMPERATIVE)
        if self._rng.chance(45):
            return sentence(["please", *words[0]], "."), sentence(["bitte", *words[1]], ".")
        return sentence(words[0], "!"), sentence(words[1], "!")

    def _opened(self, world, _):
        clause = self._open(self._step(world, self._phrasing.person(), 40))
        return clause.english(), clause.german()

    def _open(self, clause):
        """Begins a statement with an adverb like therefore."""
        clause.front = ""
        clause.opener = Words.of(*self._rng.pick(lexicon.words()["opening"]))
        return clause

    def _lead(self, world, size):
        """A subordinate clause in first place, then the main clause."""
        inner = self._rng.between(1, size - 1)
        subject = self._phrasing.person()
        again = self._embedding.pronoun(subject) if self._rng.chance(70) else None
        clause = self._clauses.any(world, again or self._phrasing.person())
        self._clauses.settled(clause, world)
        lead = self._embedding.adverbial(world, clause, inner, new_subject=subject)
        if not lead:
            return self._lead(world, size)
        clause.front, clause.lead = "", lead
        self._embedding.expand(clause, world, size - 1 - inner)
        return clause.english(), clause.german()

    def _shared(self, world, size):
        """He opened the window and went home."""
        subject = self._phrasing.person()
        first = self._step(world, subject, 55)
        second = self._step(world, subject, 35, other_than=first.verb)
        second.front, second.time, second.middle = "", None, None
        self._embedding.expand(second, world, size - 2, with_subject=False)
        return ([*first.english(), "and", *second.english(SHARED)],
                [*first.german(), "und", *second.german(SHARED)])

    def _step(self, world, subject, detail, other_than=None):
        """Something that somebody does, not a state."""
        verbs = [verb for verb in lexicon.verbs_of(("person",), lexicon.UNWILLED)
                 if verb is not other_than]
        return self._clauses.action(world, subject, detail, self._rng.pick(verbs))

    def _unreal(self, world, size):
        """If Anna had more time, she would read the book."""
        subject = self._phrasing.person()
        condition, german_condition, finite = self._rng.pick(_UNREAL)
        forms = {"hätte": ("hätte", "hättest", "hätte", "hätten", "hätten"),
                 "wäre": ("wäre", "wärst", "wäre", "wären", "wären"),
                 "könnte": ("könnte", "könntest", "könnte", "könnten", "könnten"),
                 "wüsste": ("wüsste", "wüsstest", "wüsste", "wüssten", "wüssten")}[finite]
        lead = (["if", *subject.english("n"), *condition.split()],
                ["wenn", *subject.german("n"), *german_condition.split(),
                 forms[subject.agreement], ","])
        again = self._embedding.pronoun(subject)
        clause = self._step(PRESENT_WORLD, again or self._phrasing.person(), 40)
        clause.tense, clause.middle, clause.time = WOULD, None, None
        clause.front, clause.lead = "", lead
        self._embedding.expand(clause, PRESENT_WORLD, size - 2, with_adverbial=False)
        return clause.english(), clause.german()

    def _coordination(self, world, size):
        """Two or more main clauses, joined by and, but, or, or a semicolon."""
        first_size = self._rng.between(1, max(1, min(3, size - 1)))
        first = self._embedding.clause(world, first_size)
        left = first.english(), first.german()
        second_size = size - first_size
        english_word, german_word = self._conjunction(world)
        follow = self._follow_up(first, world)
        if second_size > 1 and self._rng.chance(75):
            right = self._coordination(world, second_size)
        elif follow and self._rng.chance(35):
            self._embedding.expand(follow, world, second_size - 1)
            right = follow.english(), follow.german()
        else:
            subject = self._embedding.pronoun(first.subject) if self._rng.chance(50) else None
            second = self._embedding.clause(world, second_size, subject)
            happens = "state" not in second.verb.flags and second.tense is not SINCE
            if english_word != "but" and happens and not second.front and self._rng.chance(40):
                self._open(second)
            right = second.english(), second.german()
        if english_word == ";":
            return [*left[0], ";", *right[0]], [*left[1], ";", *right[1]]
        comma = [","] * (german_word == "aber")
        return [*left[0], ",", english_word, *right[0]], [*left[1], *comma, german_word, *right[1]]

    def _conjunction(self, world):
        """What joins two main clauses: but and or at most once a sentence."""
        if self._rng.chance(40) and self._embedding.use("but"):
            return "but", "aber"
        if world == FUTURE_WORLD and self._rng.chance(15) and self._embedding.use("or"):
            return "or", "oder"
        return (";", ";") if self._rng.chance(25) else ("and", "und")

    def _follow_up(self, first, world):
        """A clause that takes up the object of the first one with a pronoun, or None."""
        for item in first.complements:
            nominal = item.nominal
            if isinstance(nominal, NounPhrase) and nominal.is_thing and not first.negated:
                subject = self._embedding.pronoun(first.subject)
                if subject and not subject.is_thing:
                    return self._clauses.take_up(world, subject, nominal, first.verb)
        return None
