"""Verdicts in plain English: what the data show, what they cannot, and how many items would."""

from __future__ import annotations

from collections.abc import Callable

from orchestration_nb.evals.intervals import FEW_ITEMS, Interval
from orchestration_nb.evals.verdicts import Contrast, Verdict


def sentences(verdict: Verdict, *, latency_is_modelled: bool = False) -> list[str]:
    """What a verdict says: of quality, non-inferiority, cost and latency, one sentence each, or two.

    The names of strategies are data: escape what is shown as HTML.

    Args:
        verdict: Of one strategy against the reference.
        latency_is_modelled: Whether latencies were modelled rather than measured; then it is said.
    """
    ours, theirs = verdict.strategy, verdict.reference
    latency = "latency (modelled)" if latency_is_modelled else "latency"
    told = [*_quality(verdict), _cost(verdict.cost_usd), _latency(verdict.latency_ms, latency)]
    if verdict.is_live:
        so_far = (
            f"{ours} against {theirs}: {verdict.n:,} of {verdict.planned:,} items so far, no verdict before the last."
        )
        return [so_far, *told]
    return told


def router_sentence(ours: str, theirs: str, interval: Interval | None) -> str:
    """What the difference of two routers' APGR says, such as of a learned one and the slice prior.

    Args:
        ours: Name of the one router.
        theirs: Name of the other.
        interval: Of the difference (:func:`orchestration_nb.evals.routers.apgr_difference`).
    """
    if interval is None:
        return f"{ours} and {theirs} cannot be compared: the strong model is not surely better than the small one."
    told = f"APGR {_signed(interval.estimate, '.3f')} ({_range(interval, lambda value: _signed(value, '.3f'))})"
    if interval.low <= 0 <= interval.high:
        return f"{ours} ties {theirs}: {told} holds 0."
    return f"{ours} routes {'better' if interval.low > 0 else 'worse'} than {theirs}: {told}."


def _quality(verdict: Verdict) -> list[str]:
    ours, theirs, rules = verdict.strategy, verdict.reference, verdict.rules
    interval = verdict.quality.interval
    assert interval is not None  # quality is known on every item: what is missing counts as 0
    points = f"{_points(interval.estimate)} ({_range(interval, _points)})"
    counts = f"{verdict.counts.wins:,} won, {verdict.counts.ties:,} tied, {verdict.counts.losses:,} lost"
    if verdict.is_live:
        return [f"Quality: {points}; {counts}."]
    test = "McNemar" if verdict.yes_no else "bootstrap"
    p_value = f"{test} {_p(verdict.quality.p_holm)}" + (
        f" after Holm's correction over {verdict.family} strategies" if verdict.family > 1 else ""
    )
    if verdict.word == "no difference shown":
        first = (
            f"These items cannot tell {ours} and {theirs} apart in quality: {points}, {p_value}; {counts}. "
            f"About {verdict.items_needed:,} items would show a difference of {_size(rules.stated_difference)} "
            f"in {rules.power:.0%} of comparisons."
        )
    else:
        first = f"{ours} is {verdict.word} than {theirs} in quality: {points}, {p_value}; {counts}."
    return [first, _noninferiority(verdict)]


def _noninferiority(verdict: Verdict) -> str:
    margin = _size(verdict.rules.margin)
    if verdict.noninferior:
        return f"It is non-inferior: not worse than {verdict.reference} by {margin} or more."
    return f"It is not shown to be non-inferior by a margin of {margin}."


def _cost(contrast: Contrast) -> str:
    if contrast.interval is None:
        return "Its cost cannot be compared: it is known on too few items."
    told = f"{_usd(contrast.interval.estimate)} per item ({_range(contrast.interval, _usd)})"
    return _measure("cost", told, contrast, higher="costs more", lower="costs less")


def _latency(contrast: Contrast, latency: str) -> str:
    if contrast.interval is None:
        return f"Its {latency} cannot be compared: it is known on too few items."
    told = f"{_ms(contrast.interval.estimate)} on average ({_range(contrast.interval, _ms)})"
    return _measure(latency, told, contrast, higher="is slower", lower="is faster")


def _measure(name: str, told: str, contrast: Contrast, *, higher: str, lower: str) -> str:
    few = _few(contrast)
    if contrast.finding is None:
        return f"{name.capitalize()}: {told}.{few}"
    if contrast.finding == "no difference shown":
        return f"No difference in {name} is shown: {told}, {_p(contrast.p_holm)}.{few}"
    word = higher if contrast.finding == "higher" else lower
    return f"It {word}: {name} {told}, {_p(contrast.p_holm)}.{few}"


def _few(contrast: Contrast) -> str:
    """That an interval hangs on few extreme items, where it does."""
    if contrast.spread_items >= FEW_ITEMS or contrast.interval is None:
        return ""
    few = round(contrast.spread_items)
    return (
        f" That hangs on few extreme items (its spread is that of {few} of {contrast.interval.n:,}), so the interval "
        "may be too narrow: more items would tell."
    )


def _range(interval: Interval, told: Callable[[float], str]) -> str:
    return f"{interval.level:.0%} interval {told(interval.low)} to {told(interval.high)}"


def _points(quality: float) -> str:
    return f"{_signed(quality * 100, '.1f')} points"


def _size(quality: float) -> str:
    return f"{quality * 100:g} point{'' if quality == 0.01 else 's'}"


def _usd(dollars: float) -> str:
    return f"{'−' if dollars < 0 else '+'}${abs(dollars):.3g}"


def _ms(milliseconds: float) -> str:
    return f"{_signed(milliseconds, ',.0f')} ms"


def _signed(value: float, form: str) -> str:
    text = format(abs(value), form)
    return ("−" if value < 0 else "+") + text


def _p(p_value: float | None) -> str:
    return "p < .001" if p_value is not None and p_value < 0.001 else f"p = {p_value:.3f}".replace("0.", ".")
