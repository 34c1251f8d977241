"""A random number generator whose stream never changes with the Python version."""

_MASK = (1 << 64) - 1


class Rng:
    """SplitMix64 (Steele, Lea and Flood, 2014): a counter and a mixing function."""

    def __init__(self, seed):
        self._state = seed & _MASK

    def below(self, bound):
        """An integer in [0, bound)."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) * bound) >> 64

    def between(self, low, high):
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def chance(self, percent):
        """True in `percent` of a hundred cases."""
        return self.below(100) < percent

    def pick(self, items):
        """One item of a sequence."""
        return items[self.below(len(items))]

    def weighted(self, weights):
        """One key of a dictionary of integer weights, in proportion to its weight."""
        remaining = self.below(sum(weights.values()))
        for item, weight in weights.items():
            remaining -= weight
            if remaining < 0:
                return item
        raise AssertionError("weights are integers")

    def shuffle(self, items):
        """Shuffles a list in place (Fisher and Yates)."""
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
