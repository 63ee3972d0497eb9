"""What the words of an answer mean: a number however it is written, a value of JSON or Python, or plain text."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Final

_DIGITS: Final = (
    r"(?:[1-9]\d{0,2}(?:[,'_ ]\d{3})+(?:\.\d+)?(?!\d)"  # 1,234.50 and 1 234
    r"|[1-9]\d{0,2}(?:[. ']\d{3})+,\d+(?!\d)"  # 1.234,50
    r"|(?:0|\d+(?=,\d{1,2}(?!\d)|,\d{4})),\d+(?![,\d])"  # 12,5
    r"|\d+(?:\.\d+)?|\.\d+)"
)
_POWER: Final = r"(?:[eE](?P<power>[+-]?\d+)|\s*(?:x|×|\*|\\times|\\cdot)\s*10\s*\^\s*\{?(?P<tens>-?\d+)\}?)?"
_MONEY: Final = r"(?:US\$|A\$|C\$|[$€£¥₹]|(?:USD|EUR|GBP|CHF|JPY|INR)\b)"
_UNIT: Final = r"(?!(?:and|or|to|und|oder|bis)\b)[^\W\d_]+(?:/[^\W\d_]+)?(?:\^?\{?[23]\}?)?"
_NUMBER: Final = re.compile(
    rf"(?:[^=]*=\s*)?(?:[~≈]|about|around|approx\.?|approximately|roughly)?\s*(?P<sign>[-+]?)\s*{_MONEY}?\s*(?P<inner>-?)\s*"
    rf"(?:(?P<whole>\d+)\s+(?P<over>\d+)\s*/\s*(?P<under>\d+)|(?P<number>{_DIGITS}){_POWER}(?:\s*/\s*(?P<divisor>\d+))?)"
    rf"\s*(?P<percent>%|per\s?cent\b|percent\b)?\s*(?P<scale>thousand|million|billion)?\s*(?:{_MONEY}|°)?"
    rf"(?:\s*{_UNIT}(?:\s+{_UNIT}){{0,3}})?\s*\.?",
    re.IGNORECASE,
)
_RUNNING: Final = re.compile(
    rf"(?<![\w.,/-])-?{_MONEY}?\s?-?{_DIGITS}(?:/\d+)?(?:\s?%)?(?![\w/-]|[.,:]\d)", re.IGNORECASE
)
_SCALES: Final = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_FRACTION: Final = re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_LATEX_TEXT: Final = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}")
_LATEX_SPACE: Final = re.compile(r"\\[!,;: ]|\\[()\[\]]|\\left|\\right")
_TRIMMINGS: Final = " \t\r\n.*`'\"$_"
_LONGEST_WORDS: Final = 400
"""Characters of an answer that may still be one number."""
_LONGEST_DATA: Final = 20_000
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_ODD_ESCAPE: Final = re.compile(r"\\[^\\'\"abfnrtvxuUN0-7\n]")
_LITERAL: Final = re.compile(r"[\[({'\"]|True$|False$|None$|b['\"]")

NO_DATA: Final = object()
"""What :func:`data_of` gives for words that are no data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number as it was written."""

    value: float
    """As written: 12 for ``12 %``."""
    percent: bool = False

    def __str__(self) -> str:
        return f"{self.value:.10g}{'%' if self.percent else ''}"


def number_of(words: str) -> Number | None:
    r"""The number that these words are as a whole, or ``None``.

    Thousands signs, a decimal comma, signs of currency, fractions (``3/4``, ``1 1/2``, ``\frac{3}{4}``), powers of
    ten, per cent, a unit after it (``47 feet``) and ``x =`` before it are understood; a date,
    a time or a list is no number.
    """
    if len(words) > _LONGEST_WORDS:
        return None
    match = _NUMBER.fullmatch(_plain_maths(words))
    if match is None:
        return None
    value = _magnitude(match)
    if value is None:
        return None
    negative = (match["sign"] == "-") != (match["inner"] == "-")
    return Number(value=-value if negative else value, percent=match["percent"] is not None)


def last_number(text: str) -> Number | None:
    """The last number that stands in a running text, or ``None``."""
    found = numbers_in(text)
    return found[-1] if found else None


def numbers_in(text: str) -> list[Number]:
    """The numbers that stand in a running text, in its order; those within dates, times and words are left out.

    Of a long text the last 20,000 characters are read.
    """
    plain = _plain_maths(text[-_LONGEST_DATA:])
    return [number for each in _RUNNING.findall(plain) if (number := number_of(each)) is not None]


def data_of(words: str) -> Any:
    """The value of JSON or of a Python literal (a list, a dict, a quoted text, ``True``), else :data:`NO_DATA`.

    Nothing is evaluated.
    """
    words = words.strip()
    if len(words) > _LONGEST_DATA:
        return NO_DATA
    if words[:1] in {"{", "[", '"'} or words in {"true", "false", "null"}:
        try:
            return json.loads(words)
        except (ValueError, RecursionError):
            pass  # perhaps it is Python
    if not _LITERAL.match(words) or _ODD_ESCAPE.search(words) or re.search(r"\d[^\W\d]", _QUOTED.sub("''", words)):
        return NO_DATA  # what Python would warn of
    try:
        return ast.literal_eval(words)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return NO_DATA


def plain_words(words: str, *, case: bool = False) -> str:
    """Words without what does not matter: outer quotes and full stops, white space, marks of emphasis, case."""
    whole = " ".join(unicodedata.normalize("NFKC", words).split())
    plain = whole.strip(_TRIMMINGS) or whole
    return plain if case else plain.casefold()


def _plain_maths(text: str) -> str:
    """Without the LaTeX, the odd spaces and signs that a number may be dressed in."""
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("⁄", "/")
    text = _LATEX_SPACE.sub("", text).replace("\\$", "$").replace("\\%", "%").replace("^\\circ", "°")
    text = _FRACTION.sub(r"\1/\2", _LATEX_TEXT.sub(r" \1", text))
    text = text.strip(" \t\r\n*`'\"_#").rstrip(".*`'\"_ ")
    return text[1:-1].strip() if len(text) > 2 and text[0] == text[-1] == "$" else text.rstrip("$")


def _magnitude(match: re.Match[str]) -> float | None:
    if match["whole"] is not None:
        under = float(match["under"])
        value = float(match["whole"]) + float(match["over"]) / under if under else None
    else:
        value = _decimal(match["number"]) * 10.0 ** _exponent(match)
        if match["divisor"] is not None:
            divisor = float(match["divisor"])
            value = value / divisor if divisor else None
    return None if value is None else value * _SCALES.get((match["scale"] or "").lower(), 1.0)


def _exponent(match: re.Match[str]) -> int:
    return max(-400, min(300, int(match["power"] or match["tens"] or 0)))


def _decimal(digits: str) -> float:
    """The value of digits with signs among them; which comma is a decimal one was settled by the pattern."""
    if "," in digits and not re.fullmatch(r"[1-9]\d{0,2}(?:[,'_ ]\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(".", "").replace(",", ".")
    return float(re.sub(r"[,'_ ]", "", digits))
