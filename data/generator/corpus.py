"""Draws the corpus: sentences of every length, no two alike, split into three sets."""

from .adverbials import Adverbials
from .clauses import Clauses
from .embedding import Embedding
from .phrasing import Phrasing
from .rng import Rng
from .sentences import Sentences

SEED = 20190303
SETS = {"train": 24000, "validation": 800, "test": 1000}
# (shortest, longest English sentence in words, share in a hundred, clauses it takes)
LENGTHS = ((3, 5, 9, (1, 1)), (6, 10, 26, (1, 2)), (11, 15, 22, (1, 3)), (16, 20, 14, (2, 4)),
           (21, 25, 9, (2, 5)), (26, 30, 6, (3, 5)), (31, 40, 7, (4, 7)), (41, 50, 4, (5, 8)),
           (51, 60, 3, (6, 9)))
SHORTEST, LONGEST = LENGTHS[0][0], LENGTHS[-1][1]


def sentence_source(seed):
    """A grammar with a random number generator of its own."""
    rng = Rng(seed)
    phrasing = Phrasing(rng)
    clauses = Clauses(rng, phrasing, Adverbials(rng, phrasing))
    return rng, Sentences(rng, phrasing, clauses, Embedding(rng, phrasing, clauses))


def build():
    """{set name: list of (English, German)}; the same on every machine."""
    rng, sentences = sentence_source(SEED)
    total = sum(SETS.values())
    wanted = [total * share // 100 for _, _, share, _ in LENGTHS]
    wanted[1] += total - sum(wanted)
    pairs, german_of, seen = [], {}, set()
    while len(pairs) < total:
        # The length that lags most decides how many clauses to draw; any length is welcome.
        lagging = max(range(len(wanted)), key=lambda i: wanted[i] / LENGTHS[i][2])
        pair = sentences.draw(rng.between(*LENGTHS[lagging][3]))
        if german_of.setdefault(*pair) != pair[1]:
            raise AssertionError(f"two translations of one sentence: {pair}, {german_of[pair[0]]}")
        length = len(pair[0].split())
        fits = [i for i, (shortest, longest, _, _) in enumerate(LENGTHS)
                if shortest <= length <= longest and wanted[i]]
        if fits and SHORTEST <= len(pair[1].split()) <= LONGEST \
                and pair[0] not in seen and pair[1] not in seen:
            seen.update(pair)
            wanted[fits[0]] -= 1
            pairs.append(pair)
    rng.shuffle(pairs)
    sets = {}
    for name, size in SETS.items():
        sets[name], pairs = pairs[:size], pairs[size:]
    return sets
