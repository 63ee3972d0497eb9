"""The picture of a flow: what it shows, says and escapes."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

import pytest

from orchestration_nb.flow import draw, parse
from orchestration_nb.flow.layout import arrange

SVG = "{http://www.w3.org/2000/svg}"
CELL = """
queue: Literal["a", "b"] = llm(f"Which? {body}", model="fast")
history = orders.tail(5)
points = [llm(f"One sentence: {o}") for o in history.itertuples()]
reply = llm(f"{queue} {points}") if queue != "a" else None
"""


def drawn(text: str, **counts: str) -> ET.Element:
    return ET.fromstring(draw(parse(text, name="triage"), counts=counts or None))


def texts(picture: ET.Element, kind: str) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text") if element.get("class") == kind]


def test_every_step_and_every_need_is_drawn() -> None:
    picture = drawn(CELL)
    assert texts(picture, "name") == ["queue", "history", "points", "reply"]
    assert texts(picture, "caption") == [
        "llm · fast", "Python", "llm for each · by strategy", "llm, if asked · by strategy",
    ]  # fmt: skip
    assert len([each for each in picture.iter(f"{SVG}path") if each.get("class") == "edge"]) == 3
    assert len([each for each in picture.iter(f"{SVG}rect") if each.get("class") == "tint"]) == 3


def test_counts_stand_under_their_steps() -> None:
    assert "200 calls" in texts(drawn(CELL, queue="200 calls"), "caption")


def test_it_says_what_it_shows() -> None:
    picture = drawn(CELL)
    title, description = picture.find(f"{SVG}title"), picture.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert title.text == "Flow triage: 4 steps"
    assert "reply (llm, if asked · by strategy) needs points, queue" in (description.text or "")
    assert picture.get("role") == "img"
    assert picture.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</svg><svg onload=alert(1)>",
    "]]><b>&amp;&#60;",
    "\x00\x0b\ud800\x1b[31m",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_only_texts(text: str) -> None:
    picture = drawn(f"a = llm('x', model={text!r})", a=text)
    kinds = {element.tag.removeprefix(SVG) for element in picture.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "rect", "path", "g", "text"}
    assert not any(name.startswith("on") for element in picture.iter() for name in element.attrib)
    if text.isprintable():
        assert text in "".join(texts(picture, "caption"))


def test_it_follows_the_theme_and_reaches_nothing() -> None:
    picture = draw(parse(CELL, name="triage"))
    assert "prefers-color-scheme:dark" in picture
    assert "--jp-" in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def _overlaps(flow: str) -> list[tuple[str, str]]:
    picture = ET.fromstring(draw(parse(flow, name="t")))
    boxes = [
        tuple(float(each.get(side, "nan")) for side in ("x", "y", "width", "height"))
        for each in picture.iter(f"{SVG}rect")
        if each.get("class") == "box"
    ]
    width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    return [
        (str(one), str(other))
        for number, one in enumerate(boxes)
        for other in boxes[number + 1 :]
        if one[0] < other[0] + other[2] and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3] and other[1] < one[1] + one[3]
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_boxes_stand_apart_and_inside(seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    lines = []
    for number in range(dice.randint(1, 40)):
        needs = sorted({f"s{dice.randrange(number)}" for _ in range(dice.randint(0, 3))} if number else [])
        lines.append(f"s{number} = ({', '.join(needs)},)" if needs else f"s{number} = {number}")
    assert _overlaps("\n".join(lines)) == []


def test_what_is_needed_stands_to_the_left() -> None:
    graph = parse(CELL + "last = [queue, reply]", name="t")
    layout = arrange(graph.steps, step_size=10, edge_size=2)
    assert {name: spot.layer for name, spot in layout.spots.items()} == {
        "queue": 0, "history": 0, "points": 1, "reply": 2, "last": 3,
    }  # fmt: skip
    long = next(way for way in layout.edges if way[0] is layout.spots["queue"] and way[-1] is layout.spots["last"])
    assert [spot.layer for spot in long] == [0, 1, 2, 3]


def test_a_ladder_is_drawn_without_crossings() -> None:
    rungs = "\n".join(f"a{n} = {n}" for n in range(6)) + "\n" + "\n".join(f"b{5 - n} = a{5 - n}" for n in range(6))
    layout = arrange(parse(rungs, name="t").steps, step_size=10, edge_size=2)
    order = sorted(range(6), key=lambda n: layout.spots[f"a{n}"].place)
    assert order == sorted(range(6), key=lambda n: layout.spots[f"b{n}"].place)
