"""What the simulated models say: recognisable questions, valid JSON, and modest words on everything else."""

import dataclasses
import datetime as dt
import os
import subprocess
import sys
from typing import Annotated, Any, Literal, Optional

import orjson
import pytest
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from orchestration_nb.providers.sim import MODELS, SimPrompt, answer, shipped_bank
from orchestration_nb.providers.sim.tokens import count_tokens, cut

BANK = shipped_bank()
QUESTION = BANK.questions[40]


def reply(text: str, model: str = "large", **more: Any) -> str:
    return answer(SimPrompt(model=model, texts=(("user", text),), **more)).text


def final(text: str) -> str:
    return text.rsplit("\nAnswer: ", 1)[1]


def test_the_same_everywhere_whatever_python_hashes() -> None:
    code = (
        "from orchestration_nb.providers.sim import *\n"
        "for q in shipped_bank().questions[:5]:\n"
        "    for m in MODELS: print(answer(SimPrompt(model=m, texts=(('user', q.prompt),))))\n"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    assert next(iter(runs)).count(b"SimReply") == 15


@pytest.mark.parametrize(
    "template",
    [
        "{}",
        "Answer the question. End with a line 'Answer: ...'.\n\nQuestion: {}\n",
        'Q: "{}"\nThink step by step.',
        "\t  {}  \r\n\r\nThanks!",
        "<question>{}</question>",
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_a_question_of_the_bank_is_recognised_inside_any_prompt(template: str, model: str) -> None:
    for question in BANK.questions[::17]:
        assert final(reply(template.format(question.prompt), model)) == final(reply(question.prompt, model))


def test_white_space_may_change_on_the_way() -> None:
    squeezed = " ".join(QUESTION.prompt.split())
    assert final(reply(squeezed)) == final(reply(QUESTION.prompt))


def test_after_examples_the_last_question_is_answered() -> None:
    example = BANK.questions[7]
    shown = f"{example.prompt}\nAnswer: {example.solutions[0].answer}\n\n{QUESTION.prompt}\nAnswer:"
    assert final(reply(shown)) == final(reply(QUESTION.prompt))


def test_every_wrong_answer_is_one_slip_away_and_told_like_a_right_one() -> None:
    for question in BANK.questions[::7]:
        for model in MODELS:
            text = reply(question.prompt, model)
            assert final(text) in {solution.answer for solution in question.solutions}
            assert len(text.splitlines()) > 3
            assert "wrong" not in text.replace(question.prompt, "").lower()


def test_a_number_field_gets_the_answer_and_a_reasoning_field_the_steps() -> None:
    question = next(q for q in BANK.questions if q.kind == "arithmetic")
    schema = {"type": "object", "properties": {"reasoning": {"type": "string"}, "answer": {"type": "integer"}}}
    got = orjson.loads(reply(question.prompt, schema=schema))
    assert str(got["answer"]) == final(reply(question.prompt))
    assert str(got["answer"]) in got["reasoning"]


@dataclasses.dataclass
class Line:
    product: str
    quantity: Annotated[int, Field(ge=1, le=9)]
    price: float


class Address(TypedDict):
    city: str
    post_code: Annotated[str, Field(min_length=5, max_length=5)]


class Node(BaseModel):
    name: str
    children: "list[Node]" = []
    parent: "Node | None" = None


class Everything(BaseModel):
    mood: Literal["good", "bad"]
    lines: Annotated[list[Line], Field(min_length=2, max_length=4)]
    where: Optional[Address]  # noqa: UP045 - both spellings are met
    tags: Annotated[list[Literal["a", "b", "c"]], Field(max_length=2)]
    pair: tuple[int, str]
    scores: dict[str, float]
    email: str | None
    when: Annotated[str, Field(json_schema_extra={"format": "date"})]
    share: Annotated[float, Field(gt=0, lt=1)]
    even: Annotated[int, Field(multiple_of=2, ge=3, le=9)]
    either: int | str
    fixed: Literal["always"]
    sure: bool


@pytest.mark.parametrize(
    "kind",
    [
        bool,
        int,
        float,
        str,
        list[str],
        list[int],
        tuple[int, str, bool],
        set[Literal["a", "b"]],
        dict[str, int],
        Literal[1, 2, 3],
        Literal["x"],
        dt.date,
        dt.datetime,
        dt.timedelta,
        Line,
        Address,
        Node,
        Everything,
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "text",
    [
        "Read this.\nWe bought 3 lamps for 29.95 each on 2026-03-04. Write to a.b@example.com about it.",
        "",
        "What?",
        '{curly} \\ "quotes" \u2028 \x00 emoji 🙂',
        QUESTION.prompt,
        BANK.tickets[3].body,
    ],
    ids=["text", "empty", "question", "odd", "bank", "ticket"],
)
def test_json_fits_the_schema_whatever_it_is(kind: Any, text: str) -> None:
    adapter = TypeAdapter[Any](kind)
    for model in MODELS:
        adapter.validate_json(reply(text, model, schema=adapter.json_schema()))


def test_options_are_chosen_by_what_the_text_says() -> None:
    schema = {"type": "object", "properties": {"value": {"enum": ["billing", "bug", "refund"]}}}

    def queue(text: str) -> str:
        return str(orjson.loads(reply(f"Which queue?\n{text}", schema=schema))["value"])

    assert queue("I was charged twice on my card, please look at the invoice.") == "billing"
    assert queue("The app crashes when I open the login page.") == "bug"
    assert queue("The lamp came damaged, I want to return it and get my money back.") == "refund"
    mood = {"type": "object", "properties": {"value": {"enum": ["positive", "negative"]}}}
    assert orjson.loads(reply("Mood?\nThe food was great and everybody happy.", schema=mood)) == {"value": "positive"}


def test_labels_keep_the_spelling_of_the_schema() -> None:
    ticket = next(t for t in BANK.tickets if t.labels["language"] == "en")
    schema = {"type": "object", "properties": {"value": {"enum": ["Billing", "Bug", "REFUND"]}}}
    value = orjson.loads(reply(f"Queue?\n{ticket.body}", schema=schema))["value"]
    assert value in {"Billing", "Bug", "REFUND"}


def test_a_ticket_is_classified_without_a_schema_where_the_options_are_named() -> None:
    ticket = BANK.tickets[0]
    assert reply(f"Answer with one of billing, bug, refund.\n\n{ticket.body}") in {"billing", "bug", "refund"}


def test_fields_that_are_not_in_the_text_are_null_where_they_may_be() -> None:
    schema = TypeAdapter(Everything).json_schema()
    assert orjson.loads(reply("Read:\nNobody wrote anything in here.", schema=schema))["email"] is None
    found = orjson.loads(reply("Read:\nPlease write to a.b@example.com today.", schema=schema))
    assert found["email"] == "a.b@example.com"


def test_a_pattern_is_looked_for_in_the_text() -> None:
    schema = {"type": "object", "properties": {"code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"}}}
    assert orjson.loads(reply("Read:\nThe parcel has the number AB-1234 on it.", schema=schema)) == {"code": "AB-1234"}


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]}
    assert set(orjson.loads(reply("Anything", schema=endless))) == {"a", "b"}


def test_any_object_will_do_for_json_object() -> None:
    assert isinstance(orjson.loads(reply("Give me JSON about this: the sky is blue today.", json_object=True)), dict)


def test_a_row_of_a_table_is_told_in_a_sentence() -> None:
    row = "Pandas(Index=7, order_id='QM-1', product='Oak bread board', quantity=2, status='delivered', note=nan)"
    said = reply(f"One sentence on this order: {row}")
    assert "Oak bread board" in said
    assert "delivered" in said
    assert "nan" not in said


def test_a_reply_to_a_customer_is_polite_and_signed_as_simulated() -> None:
    ticket = next(t for t in BANK.tickets if t.body.rstrip().endswith("Cheers,\nSofia"))
    said = reply(f"Queue: refund. Write the reply to:\n{ticket.body}")
    assert said.startswith("Hello Sofia,")
    assert "simulated" in said


def test_extracts_as_many_sentences_as_asked_for() -> None:
    text = "Trains were late. Trains were full. Nobody minded the trains. The weather was fine. Lunch was cold."
    said = reply(f"Summarise this in two sentences:\n{text}")
    assert said == "Trains were late. Trains were full."


def test_a_date_does_not_end_a_sentence() -> None:
    said = reply(
        "Write one sentence on this:\nIch habe am 15. März bezahlt, und Sie mahnen mich. Danke sehr für alles."
    )
    assert "am 15. März bezahlt" in said


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "text", ["Who are you?", "What is the capital of France?", "Translate into German: good morning to you"]
)
def test_never_pretends_to_be_more_than_a_simulation(model: str, text: str) -> None:
    said = reply(text, model)
    assert "simulated model" in said
    assert not any(name in said.lower() for name in ("gpt", "claude", "gemini", "openai", "anthropic"))


def test_images_are_counted_paid_and_named_as_not_seen() -> None:
    plain = answer(SimPrompt(model="small", texts=(("user", "What is on it?"),)))
    seen = answer(SimPrompt(model="small", texts=(("user", "What is on it?"),), images=2))
    assert "2 images were sent along; a simulated model does not see images" in seen.text
    assert seen.input_tokens > plain.input_tokens


def test_max_tokens_cuts_the_reply_and_says_so() -> None:
    full = answer(SimPrompt(model="large", texts=(("user", QUESTION.prompt),)))
    short = answer(SimPrompt(model="large", texts=(("user", QUESTION.prompt),), max_tokens=10))
    assert (full.finish_reason, short.finish_reason) == ("stop", "length")
    assert short.output_tokens == count_tokens(short.text) == 10
    assert full.text.startswith(short.text)
    assert cut("one two", 5) == "one two"


def test_a_huge_prompt_is_answered_without_reading_all_of_it() -> None:
    huge = f"{QUESTION.prompt}\n{'x ' * 3_000_000}"
    huge_reply = answer(SimPrompt(model="small", texts=(("user", huge),)))
    assert final(huge_reply.text) in {s.answer for s in QUESTION.solutions}
    assert huge_reply.input_tokens > 1_000_000
