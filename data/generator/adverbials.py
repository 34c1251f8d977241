"""Adverbials: times that suit a tense, places, directions, manners."""

from . import lexicon, numbers
from .clause import Located, Words
from .phrases import CountryName

_LAST = {"m": "letzten", "f": "letzte", "n": "letztes"}
_NEXT = {"m": "nächsten", "f": "nächste", "n": "nächstes"}
_SPANS = (("week", "f", "Woche"), ("month", "m", "Monat"), ("year", "n", "Jahr"))
_UNITS = (("days", "Tagen"), ("weeks", "Wochen"), ("months", "Monaten"), ("years", "Jahren"))
_DAY_PARTS = (("morning", "morgen"), ("afternoon", "nachmittag"), ("evening", "abend"))
_NOT_IN_TOWNS = ("room", "kitchen", "bathroom", "stop", "bathing")
_SURROUNDINGS = (("next to", "neben"), ("behind", "hinter"), ("in front of", "vor"))


class Adverbials:
    """Draws adverbials; noun phrases in them come from the `phrasing` it is given."""

    def __init__(self, rng, phrasing):
        self._rng = rng
        self._phrasing = phrasing

    def _word(self, group):
        return self._rng.pick(lexicon.words()[group])

    def time(self, world, era):
        """A time for a clause in the past, present (habit), perfect or future.

        era: whether what happens suits a year or a month better than an hour.
        """
        return Words.of(*{"past": self._past_era if era else self._past, "present": self._habit,
                          "perfect": self._recent,
                          "future": self._future_era if era else self._future}[world]())

    def _past(self):
        day, german_day = self._word("weekday")
        span, gender, german_span = _SPANS[0]
        return self._rng.weighted({
            ("yesterday", "gestern"): 12,
            ("yesterday morning", "gestern Morgen"): 5,
            ("yesterday evening", "gestern Abend"): 5,
            ("the day before yesterday", "vorgestern"): 4,
            (f"last {span}", f"{_LAST[gender]} {german_span}"): 4,
            (f"last {day}", f"letzten {german_day}"): 8,
            self._ago(_UNITS[:2]): 12,
            self._with_clock("yesterday", "gestern"): 8,
            self._with_clock(f"on {day}", f"am {german_day}"): 8,
            self.date(): 18,
            self._day_part(): 8,
            numbers.clock_time(self._rng): 8,
        })

    def _past_era(self):
        season, german_season = self._word("season")
        span, gender, german_span = self._rng.pick(_SPANS)
        year = self._past_year()
        return self._rng.weighted({
            (f"last {span}", f"{_LAST[gender]} {german_span}"): 8,
            (f"last {season}", f"letzten {german_season}"): 8,
            self._ago(_UNITS[1:]): 16,
            self.date(): 24,
            (f"in {year}", f"im Jahr {year}"): 24,
            (f"in the {season} of {year}", f"im {german_season} {year}"): 20,
        })

    def _past_year(self):
        return self._rng.between(1890, 2022)

    def date(self):
        """A calendar date: ("on March 3, 2019", "am 3. März 2019")."""
        month, german_month = self._word("month")
        day = self._rng.between(1, 28)
        if self._rng.chance(35):
            return f"on {month} {day}", f"am {day}. {german_month}"
        year = self._past_year()
        return f"on {month} {day} , {year} ,", f"am {day}. {german_month} {year}"

    def _count(self, low=2, high=30):
        """A small number in words or, less often, in digits."""
        number = self._rng.between(low, high)
        return numbers.digits(number) if self._rng.chance(35) else numbers.spelled(number)

    def _ago(self, units):
        unit, german_unit = self._rng.pick(units)
        count, german_count = self._count()
        return f"{count} {unit} ago", f"vor {german_count} {german_unit}"

    def duration(self, era):
        """How long something has lasted: ("for ten years", "seit zehn Jahren")."""
        if era and self._rng.chance(45):
            year = self._rng.between(1970, 2022)
            return Words.of(f"since {year}", f"seit {year}")
        units = _UNITS[2:] if era else (("minutes", "Minuten"), ("hours", "Stunden"))
        unit, german_unit = self._rng.pick(units)
        count, german_count = self._count()
        return Words.of(f"for {count} {unit}", f"seit {german_count} {german_unit}")

    def _with_clock(self, english_day, german_day):
        english_clock, german_clock = numbers.clock_time(self._rng)
        return f"{english_day} {english_clock}", f"{german_day} {german_clock}"

    def _day_part(self):
        day, german_day = self._word("weekday")
        part, german_part = self._rng.pick(_DAY_PARTS)
        return f"on {day} {part}", f"am {german_day}{german_part}"

    def _habit(self):
        day, german_day = self._word("weekday")
        season, german_season = self._word("season")
        part, german_part = self._rng.pick(_DAY_PARTS)
        return self._rng.weighted({
            ("every day", "jeden Tag"): 8,
            ("every week", "jede Woche"): 5,
            ("every year", "jedes Jahr"): 3,
            (f"every {day}", f"jeden {german_day}"): 6,
            (f"every {part}", f"jeden {german_part.capitalize()}"): 6,
            (f"on {day}s", f"{german_day.lower()}s"): 8,
            (f"in the {part}", f"am {german_part.capitalize()}"): 8,
            (f"in the {season}", f"im {german_season}"): 6,
            ("at night", "nachts"): 4,
            ("on the weekend", "am Wochenende"): 4,
            self._with_clock("every day", "jeden Tag"): 8,
            self._with_clock(f"every {day}", f"jeden {german_day}"): 6,
            numbers.clock_time(self._rng): 6,
        })

    def _recent(self):
        span, gender, german_span = self._rng.pick(_SPANS)
        this = {"m": "diesen", "f": "diese", "n": "dieses"}[gender]
        return self._rng.weighted({
            ("today", "heute"): 6,
            (f"this {span}", f"{this} {german_span}"): 6,
            ("this morning", "heute Morgen"): 3,
        })

    def _future(self):
        day, german_day = self._word("weekday")
        month, german_month = self._word("month")
        date = self._rng.between(1, 28)
        return self._rng.weighted({
            ("tomorrow", "morgen"): 12,
            ("tomorrow morning", "morgen früh"): 6,
            ("tomorrow evening", "morgen Abend"): 6,
            ("the day after tomorrow", "übermorgen"): 6,
            ("this evening", "heute Abend"): 6,
            (f"next {day}", f"nächsten {german_day}"): 8,
            (f"on {month} {date}", f"am {date}. {german_month}"): 14,
            self._with_clock("tomorrow", "morgen"): 12,
            self._with_clock(f"on {day}", f"am {german_day}"): 12,
            self._day_part(): 8,
        })

    def _future_era(self):
        span, gender, german_span = self._rng.pick(_SPANS)
        season, german_season = self._word("season")
        unit, german_unit = self._rng.pick(_UNITS)
        count, german_count = self._count(high=9)
        month, german_month = self._word("month")
        return self._rng.weighted({
            ("soon", "bald"): 10,
            (f"next {span}", f"{_NEXT[gender]} {german_span}"): 12,
            (f"next {season}", f"nächsten {german_season}"): 10,
            (f"in {count} {unit}", f"in {german_count} {german_unit}"): 20,
            (f"in {month}", f"im {german_month}"): 14,
        })

    def manner(self, groups):
        """A manner adverb of one of the groups."""
        return Words.of(*self._word(self._rng.pick(groups)))

    def often(self):
        """often, never, ..."""
        return Words.of(*self._word("often"))

    def place(self, classes, within_town=12):
        """Where something is or happens: in the garden, at the station, under the bed, in Rome."""
        classes = self._drawn_class(classes, within_town)
        name = self._town_or_country(classes)
        if name:
            return Located("in", "in", "d", name)
        nominal = self._phrasing.place(classes)
        if nominal.noun.located:
            return Located(*nominal.noun.located, "d", nominal)
        return Located(*self._spatial(nominal), "d", nominal)

    def destination(self, classes):
        """Where somebody goes: to Berlin, into the garden, to the station."""
        classes = self._drawn_class(classes, 0)
        name = self._town_or_country(classes)
        if name:
            return Located("to", "in" if name.has_article else "nach", "a", name)
        nominal = self._phrasing.place(classes)
        english_preposition, german_preposition = nominal.noun.reached or ("to", "zu")
        case = "d" if german_preposition == "zu" else "a"
        return Located(english_preposition, german_preposition, case, nominal)

    def origin(self):
        """Where somebody is from: from Berlin."""
        kind = self._rng.pick(("town", "country"))
        return Located("from", "aus", "d", self._town_or_country((kind,)))

    def target(self, classes, over):
        """Where something is put: onto a surface, next to a thing; `over`: where it is hung."""
        nominal = self._phrasing.place(classes)
        prepositions = self._rng.pick((("above", "über"), ("next to", "neben"))) if over \
            else self._spatial(nominal)
        return Located(*prepositions, "a", nominal)

    def _drawn_class(self, classes, within_town):
        """One of the classes; a town instead in some cases."""
        indoors = any(name in _NOT_IN_TOWNS for name in classes)
        if not indoors and self._rng.chance(within_town):
            return ("town",)
        return (self._rng.pick(classes),)

    def _town_or_country(self, classes):
        if classes[0] not in ("town", "country"):
            return None
        return CountryName(*self._word(classes[0]))

    def _spatial(self, nominal):
        if nominal.noun.is_a("surface") and self._rng.chance(70):
            return self._rng.pick((("on", "auf"), ("on", "auf"), ("under", "unter")))
        return self._rng.pick(_SURROUNDINGS)
