"""The text of the two demo projects, commit by commit."""

from dataclasses import dataclass

PYPROJECT = """\
[project]
name = "{name}"
version = "{version}"
description = "{description}"
requires-python = ">=3.9"

[tool.pytest.ini_options]
pythonpath = ["."]
testpaths = ["tests"]
"""

GITIGNORE = """\
__pycache__/
.pytest_cache/
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCommit:
    """One commit: the files it adds or replaces, by path, and when and by whom it was made."""

    message: str
    author: str
    seconds: int
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRepository:
    """A repository: two commits on main, and one more on a branch that leaves from main's head."""

    full_name: str
    first: SourceCommit
    head: SourceCommit
    branch: str
    branch_head: SourceCommit


_SCALES = '''\
"""Conversions between temperature scales."""


def celsius_to_fahrenheit(degrees: float) -> float:
    return degrees * 9 / 5 + 32
'''

_SCALES_BOTH_WAYS = (
    _SCALES
    + """

def fahrenheit_to_celsius(degrees: float) -> float:
    return (degrees - 32) * 5 / 9
"""
)

_SCALES_KELVIN = (
    _SCALES_BOTH_WAYS
    + """

def celsius_to_kelvin(degrees: float) -> float:
    if degrees < -273.15:
        raise ValueError(f"{degrees} °C is below absolute zero")
    return degrees + 273.15
"""
)

_TEST_SCALES = """\
from thermometer.scales import celsius_to_fahrenheit


def test_water_freezes():
    assert celsius_to_fahrenheit(0) == 32


def test_water_boils():
    assert celsius_to_fahrenheit(100) == 212
"""

_TEST_SCALES_BOTH_WAYS = (
    _TEST_SCALES.replace("celsius_to_fahrenheit\n\n", "celsius_to_fahrenheit, fahrenheit_to_celsius\n\n", 1)
    + """

def test_scales_meet_at_minus_forty():
    assert fahrenheit_to_celsius(-40) == -40


def test_there_and_back_again():
    assert fahrenheit_to_celsius(celsius_to_fahrenheit(20)) == 20
"""
)

_TEST_KELVIN = """\
import pytest

from thermometer.scales import celsius_to_kelvin


def test_ice_melts_in_kelvin():
    assert celsius_to_kelvin(0) == 273.15


def test_nothing_is_colder_than_absolute_zero():
    with pytest.raises(ValueError, match="absolute zero"):
        celsius_to_kelvin(-300)
"""

THERMOMETER = SourceRepository(
    full_name="acme/thermometer",
    first=SourceCommit(
        message="Convert Celsius to Fahrenheit",
        author="Ada Weber",
        seconds=1_736_154_000,
        files={
            ".gitignore": GITIGNORE,
            "README.md": "# Thermometer\n\nConverts temperatures between scales.\n",
            "pyproject.toml": PYPROJECT.format(
                name="thermometer", version="0.1.0", description="Converts temperatures between scales."
            ),
            "thermometer/__init__.py": '"""Temperatures, from one scale to another."""\n',
            "thermometer/scales.py": _SCALES,
            "tests/test_scales.py": _TEST_SCALES,
        },
    ),
    head=SourceCommit(
        message="Convert Fahrenheit to Celsius",
        author="Ada Weber",
        seconds=1_736_240_400,
        files={"thermometer/scales.py": _SCALES_BOTH_WAYS, "tests/test_scales.py": _TEST_SCALES_BOTH_WAYS},
    ),
    branch="add-kelvin",
    branch_head=SourceCommit(
        message="Add Kelvin",
        author="Jonas Lind",
        seconds=1_736_326_800,
        files={"thermometer/scales.py": _SCALES_KELVIN, "tests/test_kelvin.py": _TEST_KELVIN},
    ),
)

_TOTALS = '''\
"""Totals of a receipt, in the currency's main unit."""


def net_total(prices: list[float]) -> float:
    return round(sum(prices), 2)
'''

_TOTALS_TAX = (
    _TOTALS
    + """

def total(prices: list[float], tax_rate: float = 0.0) -> float:
    return round(sum(prices) * (1 + tax_rate), 2)
"""
)

_TOTALS_DECIMAL = '''\
"""Totals of a receipt, in the currency's main unit."""

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def net_total(prices: list[float]) -> float:
    return total(prices)


def total(prices: list[float], tax_rate: float = 0.0) -> float:
    exact = sum((Decimal(str(price)) for price in prices), Decimal(0)) * (1 + Decimal(str(tax_rate)))
    return float(exact.quantize(CENT, rounding=ROUND_HALF_UP))
'''

_TEST_TOTALS = """\
from cashbox.totals import net_total


def test_an_empty_receipt_costs_nothing():
    assert net_total([]) == 0


def test_prices_add_up():
    assert net_total([1.10, 2.20, 3.30]) == 6.60
"""

_TEST_TOTALS_TAX = (
    _TEST_TOTALS.replace("net_total\n\n", "net_total, total\n\n", 1)
    + """

def test_total_without_tax_is_the_net_total():
    assert total([4.99, 0.01]) == net_total([4.99, 0.01])


def test_total_rounds_to_the_cent():
    assert total([1.50], tax_rate=0.19) == 1.79
"""
)

CASHBOX = SourceRepository(
    full_name="acme/cashbox",
    first=SourceCommit(
        message="Add up the prices of a receipt",
        author="Jonas Lind",
        seconds=1_736_157_600,
        files={
            ".gitignore": GITIGNORE,
            "README.md": "# Cashbox\n\nAdds up receipts.\n",
            "pyproject.toml": PYPROJECT.format(name="cashbox", version="0.3.0", description="Adds up receipts."),
            "cashbox/__init__.py": '"""Receipts and their totals."""\n',
            "cashbox/totals.py": _TOTALS,
            "tests/test_totals.py": _TEST_TOTALS,
        },
    ),
    head=SourceCommit(
        message="Add tax to the total",
        author="Jonas Lind",
        seconds=1_736_244_000,
        files={"cashbox/totals.py": _TOTALS_TAX, "tests/test_totals.py": _TEST_TOTALS_TAX},
    ),
    branch="round-half-up",
    branch_head=SourceCommit(
        message="Round half a cent up",
        author="Ada Weber",
        seconds=1_736_330_400,
        files={"cashbox/totals.py": _TOTALS_DECIMAL},
    ),
)
