"""How throughput grows with ranks: the law that is fitted to it. Nothing here reads or writes files."""

import dataclasses
import itertools

import numpy

from tally import results as results_


def count_s(entry):
    """Seconds that the slowest rank counted."""
    return results_.finite(entry, "count_s")


def merge_s(entry):
    """Seconds that merging took."""
    return results_.finite(entry, "merge_s")


def merge_share(entry):
    """Of a sample's time, what was merging."""
    count, merge = count_s(entry), merge_s(entry)
    return merge / (count + merge) if count is not None and merge is not None and count + merge > 0 else None


def imbalance(entry):
    """Counting of the slowest rank over that of the median one."""
    return results_.finite(entry, "imbalance")


def least_squares(rows, values):
    """The x >= 0 for which rows @ x is nearest to values, by the squares of relative differences; rows and x in any units.
    Every set of members that may be above 0 is tried, of which there are few."""
    rows, values = numpy.asarray(rows, float), numpy.asarray(values, float)
    weighed = rows / values[:, None]
    best, least = numpy.zeros(rows.shape[1]), numpy.inf
    for size in range(1, rows.shape[1] + 1):
        for chosen in itertools.combinations(range(rows.shape[1]), size):
            part = weighed[:, chosen]
            scale = numpy.linalg.norm(part, axis=0)
            if not scale.all():
                continue
            found, *_ = numpy.linalg.lstsq(part / scale, numpy.ones(len(values)), rcond=None)
            found = found / scale
            if (found < 0).any():
                continue
            off = float(((part @ found - 1) ** 2).sum())
            # More members must be worth it: equal but for rounding, fewer stand.
            if off < least * (1 - 1e-9) - 1e-15:
                best, least = numpy.zeros(rows.shape[1]), off
                best[list(chosen)] = found
    return best


@dataclasses.dataclass(frozen=True)
class Law:
    """Gunther's universal scalability law ("Guerrilla Capacity Planning", 2007, ch. 4): R ranks have the throughput of
    R / (1 + contention (R - 1) + coherence R (R - 1)) that are by themselves. Without coherence it is Amdahl's, whose serial part
    contention is."""

    alone: float  # events/s of one rank
    contention: float
    coherence: float

    def throughput(self, ranks):
        return self.alone * ranks / (1 + self.contention * (ranks - 1) + self.coherence * ranks * (ranks - 1))


def fit(points):
    """The Law nearest to [(ranks, events/s), ...]; None of fewer than two numbers of ranks. With two, nothing tells coherence from
    contention, and it is called contention."""
    numbers = sorted({ranks for ranks, _ in points})
    if len(numbers) < 2:
        return None
    # R / X = (1 + s (R - 1) + k R (R - 1)) / X(1): linear in 1 / X(1), s / X(1) and k / X(1).
    columns = 3 if len(numbers) > 2 else 2
    rows = [(1, ranks - 1, ranks * (ranks - 1))[:columns] for ranks, _ in points]
    found = [*least_squares(rows, [ranks / rate for ranks, rate in points]), 0][:3]
    return Law(1 / found[0], found[1] / found[0], found[2] / found[0]) if found[0] > 0 else None
