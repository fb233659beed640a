"""``python -m tests.bench``: the product beside this machine's ceilings, measured in one run with real fsync.

Figures of different machines, or of one shared machine at different times, cannot be compared. So whatever
stands in a ratio is measured in turns, A B A B …, and the ratio is the median of the pairs' ratios.
"""
