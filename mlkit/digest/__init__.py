"""The canonical digest of rows and datasets: the ground on which everything else stands.

One function of the values alone: whatever the order of the rows, the chunks, the width of a type,
the dataframe library or the day, the same data has the same fingerprint. The rules are version
``d1`` and never change; new rules would be ``d2``.
"""
