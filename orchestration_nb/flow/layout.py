"""Where the steps of a drawn flow stand: in layers from left to right, with few crossings.

After Sugiyama, Tagawa and Toda (1981): a step stands one layer to the right of the last that it needs, an edge that
spans several layers gets a way point in each, and sweeps of barycentres put each layer in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from orchestration_nb.flow.graph import Step

_SWEEPS: Final = 6


@dataclass(slots=True)
class Spot:
    """A step, or a way point of an edge, in a layer."""

    layer: int
    size: float
    """Room that it takes from top to bottom, its margin included."""
    before: list[Spot] = field(default_factory=list, repr=False)
    after: list[Spot] = field(default_factory=list, repr=False)
    place: float = 0.0
    """Its middle, from top to bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Steps and edges with their places."""

    spots: Mapping[str, Spot]
    edges: Sequence[Sequence[Spot]]
    """Each from the step that is needed, over its way points, to the one that needs it."""
    layers: int
    height: float


def arrange(steps: Sequence[Step], *, step_size: float, edge_size: float) -> Layout:
    """Places the steps of a flow.

    Args:
        steps: In the order of their lines.
        step_size: Height of a step with its margin, in any unit.
        edge_size: Height that an edge takes where it passes a layer.
    """
    spots: dict[str, Spot] = {}
    for step in steps:
        number = max((spots[name].layer + 1 for name in step.needs), default=0)
        spots[step.name] = Spot(number, step_size)
    layers: list[list[Spot]] = [[] for _ in range(max(spot.layer for spot in spots.values()) + 1)]
    for spot in spots.values():
        layers[spot.layer].append(spot)
    edges = [_edge(spots[name], spots[step.name], layers, edge_size) for step in steps for name in sorted(step.needs)]
    _order(layers)
    _settle(layers)
    top = min(spot.place - spot.size / 2 for layer in layers for spot in layer)
    for layer in layers:
        for spot in layer:
            spot.place -= top
    height = max(spot.place + spot.size / 2 for layer in layers for spot in layer)
    return Layout(spots=spots, edges=edges, layers=len(layers), height=height)


def _edge(start: Spot, end: Spot, layers: list[list[Spot]], size: float) -> list[Spot]:
    way = [start]
    for layer in range(start.layer + 1, end.layer):
        point = Spot(layer, size)
        layers[layer].append(point)
        way.append(point)
    way.append(end)
    for left, right in pairwise(way):
        left.after.append(right)
        right.before.append(left)
    return way


def _order(layers: list[list[Spot]]) -> None:
    """Orders each layer by the mean place of its neighbours, to the right and back."""
    for layer in layers:
        _number(layer)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers[1:] if forward else layers[-2::-1]:
            layer.sort(key=lambda spot: _mean(spot.before if forward else spot.after, spot.place))
            _number(layer)


def _number(layer: list[Spot]) -> None:
    for number, spot in enumerate(layer):
        spot.place = float(number)


def _mean(neighbours: Sequence[Spot], otherwise: float) -> float:
    return sum(spot.place for spot in neighbours) / len(neighbours) if neighbours else otherwise


def _settle(layers: list[list[Spot]]) -> None:
    """Gives each spot its place: beside its neighbours, without touching those above and below."""
    for layer in layers:
        _stack(layer, [0.0] * len(layer))
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers[1:] if forward else layers[-2::-1]:
            _stack(layer, [_mean(spot.before if forward else spot.after, spot.place) for spot in layer])


def _stack(layer: list[Spot], wanted: Sequence[float]) -> None:
    """Puts a layer's spots as near to the wanted places as their order and sizes allow."""
    bottom = float("-inf")
    for spot, place in zip(layer, wanted, strict=True):
        spot.place = max(place, bottom + spot.size / 2)
        bottom = spot.place + spot.size / 2
    shift = sum(place - spot.place for spot, place in zip(layer, wanted, strict=True)) / len(layer)
    for spot in layer:
        spot.place += shift
