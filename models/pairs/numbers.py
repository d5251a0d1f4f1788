"""Integers as people write them."""

from __future__ import annotations

from random import Random

UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
LARGEST = 199
"""The largest number that is written in words. People write larger ones in digits."""


def words(value: int, random: Random) -> str:
    """0 to LARGEST in words, in one of the variants in use: "twenty-five", "twenty five", "a hundred and ten"."""
    if value < 20:
        return UNITS[value]
    if value < 100:
        ten, unit = divmod(value, 10)
        return TENS[ten] + (f"{random.choice('- ')}{UNITS[unit]}" if unit else "")
    head = random.choice(("a hundred", "one hundred", "hundred"))
    rest = value - 100
    return f"{head}{random.choice((' ', ' and '))}{words(rest, random)}" if rest else head


def common_integer(least: int, greatest: int, random: Random) -> int:
    """A random integer from `least` to `greatest`. Small and round ones are likelier, as in what people ask for."""
    kind = random.random()
    if kind < 0.25:
        return random.randint(least, min(greatest, least + 12))
    if kind < 0.6:
        step = 10 if greatest - least >= 40 else 5
        first, last = -(-least // step), greatest // step
        if first <= last:
            return step * random.randint(first, last)
    return random.randint(least, greatest)
