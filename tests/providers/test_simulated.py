"""Simulated models, asked the whole way of a real call."""

from __future__ import annotations

import asyncio
import json

import pytest

from orchestration_nb.calls import OutputSchema, RawReply, Timeouts
from orchestration_nb.config import Settings, SimSettings
from orchestration_nb.errors import (
    CallTimeoutError,
    ConnectionLostError,
    MalformedReplyError,
    NoSuchModelError,
    OverloadedError,
    RateLimitedError,
    ServerFailedError,
    TruncatedReplyError,
    UsageError,
)
from orchestration_nb.providers import build
from orchestration_nb.providers.sim import shipped_bank
from orchestration_nb.providers.simulated import SimProvider
from tests.providers.conftest import ask

MODELS = {model.wire_name: model for model in SimProvider(SimSettings()).models()}


async def reply(prompt: str, name: str = "small") -> RawReply:
    provider = SimProvider(SimSettings(latency_scale=0))
    try:
        return await provider.send(MODELS[name], ask(prompt), timeouts=Timeouts())
    finally:
        await provider.close()


def test_three_models_are_there_for_everybody_and_say_that_they_are_simulated() -> None:
    provider = build(Settings(), {}, trusted=False)["sim"]
    assert provider.availability().usable
    assert "simulated" in provider.availability().where
    assert [model.name for model in provider.models()] == ["sim/small", "sim/medium", "sim/large"]
    assert all(model.simulated and model.price and "simulated" in model.price.source for model in provider.models())


async def test_the_same_question_has_the_same_answer_and_is_counted() -> None:
    first, second = [await reply("What is 17 + 25?", "large") for _ in range(2)]
    assert first.text == second.text
    assert first.usage == second.usage
    assert first.usage.input_tokens > 5
    assert first.usage.output_tokens >= 1
    assert first.model_version is not None


async def test_a_number_of_a_sample_can_bring_another_answer() -> None:
    provider = SimProvider(SimSettings(latency_scale=0))
    prompts = [question.prompt for question in shipped_bank().questions[:40]]

    async def answers(sample: int) -> list[str]:
        requests = [ask(prompt, sample=sample) for prompt in prompts]
        return [(await provider.send(MODELS["small"], one, timeouts=Timeouts())).text for one in requests]

    first, again, other = [await answers(sample) for sample in (0, 0, 1)]
    assert first == again
    assert first != other
    await provider.close()


async def test_many_calls_at_once_share_one_server_and_structured_output_fits() -> None:
    provider = SimProvider(SimSettings(latency_scale=0))
    schema = {"type": "object", "properties": {"value": {"enum": ["billing", "bug"]}}, "required": ["value"]}
    request = ask("Which queue? My invoice is wrong.", output=OutputSchema(name="queue", json_schema=schema, parse=str))
    replies = await asyncio.gather(*(provider.send(MODELS["medium"], request, timeouts=Timeouts()) for _ in range(50)))
    assert {json.loads(one.text)["value"] for one in replies} <= {"billing", "bug"}
    await provider.close()
    await provider.close()


async def test_faults_come_as_those_of_a_real_provider() -> None:
    for settings, error in (
        (SimSettings(latency_scale=0, rate_limited=1), RateLimitedError),
        (SimSettings(latency_scale=0, overloaded=1), OverloadedError),
        (SimSettings(latency_scale=0, failed=1), ServerFailedError),
        (SimSettings(latency_scale=0, reset=1), ConnectionLostError),
        (SimSettings(latency_scale=0, hang=1), CallTimeoutError),
        (SimSettings(latency_scale=0, malformed=1), MalformedReplyError),
        (SimSettings(latency_scale=0, truncated=1), TruncatedReplyError),
        (SimSettings(latency_scale=0, empty=1), MalformedReplyError),
        (SimSettings(latency_scale=0, down=("small",)), OverloadedError),
    ):
        provider = SimProvider(settings)
        with pytest.raises(error) as caught:
            await provider.send(MODELS["small"], ask(), timeouts=Timeouts(total_s=0.5))
        assert caught.value.retryable
        await provider.close()


async def test_a_model_can_be_taken_down_and_brought_up_again_while_it_is_used() -> None:
    provider = SimProvider(SimSettings(latency_scale=0))
    provider.break_down("sim/small")
    with pytest.raises(OverloadedError):
        await provider.send(MODELS["small"], ask(), timeouts=Timeouts())
    provider.break_down("small", "reset")
    with pytest.raises(ConnectionLostError):
        await provider.send(MODELS["small"], ask(), timeouts=Timeouts())
    assert (await provider.send(MODELS["medium"], ask(), timeouts=Timeouts())).text
    provider.recover("small")
    assert (await provider.send(MODELS["small"], ask(), timeouts=Timeouts())).text
    await provider.close()
    with pytest.raises(UsageError, match="no simulated model 'huge'"):
        provider.break_down("huge")
    with pytest.raises(UsageError, match="'flood' is no fault"):
        provider.break_down("small", "flood")  # type: ignore[arg-type]


async def test_a_model_that_is_not_there_is_named() -> None:
    from dataclasses import replace

    provider = SimProvider(SimSettings(latency_scale=0))
    with pytest.raises(NoSuchModelError, match="huge"):
        await provider.send(replace(MODELS["small"], wire_name="huge"), ask(), timeouts=Timeouts())
    await provider.close()


def test_faults_that_add_up_to_more_than_all_calls_are_refused() -> None:
    with pytest.raises(UsageError, match="add up"):
        SimProvider(SimSettings(rate_limited=0.7, reset=0.7))
