"""Splits an amount into shares that sum to it, by largest remainders (Hamilton's method)."""

from collections.abc import Sequence


def allocate(amount: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Shares of an amount in minor units, in proportion to the weights, in their order.

    Each share is what it should be exactly, rounded down or up; of equal remainders the earlier one is
    rounded up. A negative amount is split as the positive one, with the signs turned round. Raises ValueError
    for weights that are negative or sum to zero.
    """
    whole = sum(weights)
    if whole <= 0 or any(weight < 0 for weight in weights):
        raise ValueError("weights must not be negative, and not all zero")
    if amount < 0:
        return tuple(-share for share in allocate(-amount, weights))
    shares, remainders = zip(*(divmod(amount * weight, whole) for weight in weights), strict=True)
    left = amount - sum(shares)
    by_remainder = sorted(range(len(weights)), key=lambda index: -remainders[index])
    rounded_up = set(by_remainder[:left])
    return tuple(share + (index in rounded_up) for index, share in enumerate(shares))
