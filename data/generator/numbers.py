"""Numbers, dates and times of day in both languages."""

_ENGLISH_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen").split()
_ENGLISH_TENS = "_ ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_GERMAN_SMALL = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn").split()
_GERMAN_TENS = "_ zehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()

ORDINALS = (("first", "erst"), ("second", "zweit"), ("third", "dritt"), ("fourth", "viert"),
            ("fifth", "fünft"), ("sixth", "sechst"), ("seventh", "siebt"), ("eighth", "acht"),
            ("ninth", "neunt"), ("tenth", "zehnt"))


def english_words(number):
    """23 -> "twenty-three"; for 0 <= number < 1,000,000."""
    if number < 20:
        return _ENGLISH_SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _ENGLISH_TENS[tens] + ("-" + _ENGLISH_SMALL[ones] if ones else "")
    for unit, name in ((1000, "thousand"), (100, "hundred")):
        if number >= unit:
            count, rest = divmod(number, unit)
            words = english_words(count) + " " + name
            return words + (" " + english_words(rest) if rest else "")


def german_words(number):
    """23 -> "dreiundzwanzig"; for 0 <= number < 1,000,000."""
    if number < 20:
        return _GERMAN_SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        if not ones:
            return _GERMAN_TENS[tens]
        return ("ein" if ones == 1 else _GERMAN_SMALL[ones]) + "und" + _GERMAN_TENS[tens]
    for unit, name in ((1000, "tausend"), (100, "hundert")):
        if number >= unit:
            count, rest = divmod(number, unit)
            words = "ein" if count == 1 else german_words(count)
            return words + name + (german_words(rest) if rest else "")


def spelled(number):
    """A number in words, as an (English, German) pair."""
    return english_words(number), german_words(number)


def digits(number):
    """A number in digits: ("45,000", "45.000")."""
    text = f"{number:,}"
    return text, text.replace(",", ".")


def decimal(whole, hundredths):
    """An amount with two places: ("3.50", "3,50")."""
    return f"{whole}.{hundredths:02}", f"{whole},{hundredths:02}"


def clock_time(rng):
    """A time of day: ("at half past three", "um halb vier") or in digits or full hours."""
    hour = rng.between(1, 11)
    english, german = spelled(hour)
    english_next, german_next = spelled(hour + 1)
    return rng.weighted({
        (f"at {english} o'clock", f"um {'ein' if hour == 1 else german} Uhr"): 4,
        (f"at half past {english}", f"um halb {german_next}"): 4,
        (f"at a quarter past {english}", f"um Viertel nach {german}"): 2,
        (f"at a quarter to {english_next}", f"um Viertel vor {german_next}"): 2,
        ten_minutes(rng, hour): 2,
        digital_time(rng): 4,
    })


def ten_minutes(rng, hour):
    """("at twenty minutes past six", "um zwanzig Minuten nach sechs")"""
    minutes = spelled(rng.pick((5, 10, 20)))
    after = rng.chance(50)
    english, german = spelled(hour)
    return (f"at {minutes[0]} minutes {'past' if after else 'to'} {english}",
            f"um {minutes[1]} Minuten {'nach' if after else 'vor'} {german}")


def digital_time(rng):
    """("at 7:45", "um 7:45 Uhr")"""
    text = f"{rng.between(6, 23)}:{5 * rng.between(1, 11):02}"
    return f"at {text}", f"um {text} Uhr"
