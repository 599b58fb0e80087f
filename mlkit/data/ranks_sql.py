"""Exact order statistics of rows that stay in Spark: the n-th smallest number of each group, by counting.

Numbers are narrowed down block by block: rows are counted by their leading bits, the block that holds the
wanted rank is known from the counts, and only its rows are looked at next. No row is sorted, only counts
come here, and what is found is the number at that rank, whatever the distribution.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from mlkit.digest.spark_frame import translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.engines.base import Frame

GROUP, NUMBER = "mlkit_group", "mlkit_number"
"""Columns of a frame that is looked at, both BIGINT and never missing."""

_MOST_BITS, _MOST_COUNTS_BITS = 16, 18
_SIGN_BIT = 63


class _Block(NamedTuple):
    """Where a rank lies: the leading bits of its number, and its rank among the numbers that have them.

    Bits are those of a number to which 2**63 is added, so that they are in the order of the numbers.
    """

    prefix: int
    rank: int


def group_sizes(frame: Frame) -> dict[int, int]:
    """Number of rows of each group."""
    with translated("count the rows of each group"):
        return {int(group): int(rows) for group, rows in frame.groupBy(GROUP).count().collect()}


def smallest(frame: Frame, ranks: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """The numbers at some ranks of each group.

    Args:
        frame: A Spark dataframe with the columns `GROUP` and `NUMBER`; it is evaluated a few times.
        ranks: By group, which ranks are wanted, from 1 to the size of the group.

    Returns:
        By group, the numbers at these ranks.

    Raises:
        StoreError: Spark failed.
    """
    wanted = [(group, rank) for group in ranks for rank in ranks[group]]
    if not wanted:
        return {group: [] for group in ranks}
    with translated("rank the rows of a frame"):
        blocks = _found(frame, wanted)
    return {group: [blocks[group, rank].prefix - _bias(0) for rank in ranks[group]] for group in ranks}


def _found(frame: Frame, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], _Block]:
    """The block of one number that holds each group and rank."""
    ends = frame.selectExpr(f"min({NUMBER})", f"max({NUMBER})").collect()[0]
    low, high = (int(end) + _bias(0) for end in ends)
    shift = (low ^ high).bit_length()
    bits = max(1, min(_MOST_BITS, _MOST_COUNTS_BITS - math.ceil(math.log2(len(wanted)))))
    blocks = {target: _Block(low >> shift, target[1]) for target in wanted}
    rows = frame
    while shift:
        finer = max(shift - bits, 0)
        counts = _counts(rows, finer)
        blocks = {key: _narrowed(block, counts[key[0]], shift - finer) for key, block in blocks.items()}
        rows, shift = frame.where(_inside(blocks, finer)), finer
    return blocks


def _counts(rows: Frame, shift: int) -> dict[int, list[tuple[int, int]]]:
    """By group, the leading bits that occur and how often, in ascending order."""
    prefixes = rows.selectExpr(GROUP, f"shiftright({NUMBER}, {shift}) AS {NUMBER}")
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for group, prefix, count in prefixes.groupBy(GROUP, NUMBER).count().collect():
        found[int(group)].append((int(prefix) + _bias(shift), int(count)))
    return {group: sorted(counts) for group, counts in found.items()}


def _narrowed(block: _Block, counts: Sequence[tuple[int, int]], bits: int) -> _Block:
    """The finer block that holds the rank."""
    rank = block.rank
    for prefix, count in counts:
        if prefix >> bits == block.prefix:
            if rank <= count:
                return _Block(prefix, rank)
            rank -= count
    # Only with rows that are others on every reading: whoever counts the parts will find out.
    return _Block(counts[-1][0], 1)


def _inside(blocks: Mapping[tuple[int, int], _Block], shift: int) -> str:
    """SQL of the rows that lie in a block of their group."""
    prefixes: dict[int, set[int]] = defaultdict(set)
    for (group, _), block in blocks.items():
        prefixes[group].add(block.prefix - _bias(shift))
    leading = f"shiftright({NUMBER}, {shift})"
    inside = {
        group: f"{leading} IN ({', '.join(map(_long, sorted(found)))})" for group, found in prefixes.items()
    }
    if len(inside) == 1:
        return next(iter(inside.values()))
    cases = " ".join(f"WHEN {_long(group)} THEN {condition}" for group, condition in inside.items())
    return f"CASE {GROUP} {cases} END"


def _bias(shift: int) -> int:
    """What makes the leading bits of a signed number those of one from 0 on."""
    return 1 << (_SIGN_BIT - shift)


def _long(number: int) -> str:
    return f"CAST('{number}' AS BIGINT)"
