"""OpenAI's own Python client against a running server (XIAOHU_URL; XIAOHU_API_KEY if it needs one).

What holds for any model is checked against any; XIAOHU_FAKE=1 says that the pretended engine
answers, whose words are known.
"""

import asyncio
import json
import os
import re
import time
import urllib.request

import openai
import pytest

URL = os.environ["XIAOHU_URL"].rstrip("/")
KEY = os.environ.get("XIAOHU_API_KEY", "no-key")
FAKE = os.environ.get("XIAOHU_FAKE") == "1"
only_fake = pytest.mark.skipif(not FAKE, reason="needs the pretended engine")


@pytest.fixture(scope="module")
def client():
    return openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def model(client):
    return client.models.list().data[0].id


def ask(client, model, text, **more):
    more.setdefault("max_tokens", 24)
    more.setdefault("temperature", 0)
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], **more)


def scrape(name):
    request = urllib.request.Request(URL + "/metrics", headers={"Authorization": "Bearer " + KEY})
    for line in urllib.request.urlopen(request).read().decode().splitlines():
        if re.split(r"[{ ]", line)[0] == name:
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(name + " is not in /metrics")


def test_models(client, model):
    found = client.models.retrieve(model)
    assert found.id == model and found.object == "model" and found.created > 0
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody/nothing")
    assert caught.value.code == "model_not_found"


def test_chat(client, model):
    answer = ask(client, model, "Say hello.")
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 24
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert answer._request_id.startswith("req_")


def test_chat_stream_says_the_same(client, model):
    whole = ask(client, model, "Count to five.")
    chunks = list(ask(client, model, "Count to five.", stream=True,
                      stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    ends = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert ends == [whole.choices[0].finish_reason]
    assert not chunks[-1].choices and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1


def test_async_clients_in_parallel(model):
    async def run():
        async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0) as client:
            async def one(i):
                stream = await client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": f"Number {i}"}],
                    max_tokens=12, temperature=0, stream=True)
                return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
            return await asyncio.gather(*[one(i % 4) for i in range(12)])
    texts = asyncio.run(run())
    for i, text in enumerate(texts):
        assert text == texts[i % 4], "the same request gives the same text, whoever else asks"


def test_n_and_seed(client, model):
    first = ask(client, model, "A word:", n=3, seed=7, temperature=1, max_tokens=8)
    again = ask(client, model, "A word:", n=3, seed=7, temperature=1, max_tokens=8)
    assert [c.index for c in first.choices] == [0, 1, 2]
    assert [c.message.content for c in first.choices] == [c.message.content for c in again.choices]


def test_stop(client, model):
    def complete(**more):
        return client.completions.create(model=model, prompt="Once upon a time", max_tokens=20,
                                         temperature=0, **more).choices[0]
    whole = complete().text
    assert len(whole) > 12
    stop = whole[8:11]
    cut = complete(stop=[stop])
    assert cut.text == whole[:whole.index(stop)]
    assert cut.finish_reason == "stop"


def test_length(client, model):
    answer = ask(client, model, "Tell me a long story.", max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_logprobs(client, model):
    answer = ask(client, model, "Say hello.", logprobs=True, top_logprobs=3, max_tokens=6)
    entries = answer.choices[0].logprobs.content
    assert len(entries) == answer.usage.completion_tokens
    for entry in entries:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == 3
        assert bytes(entry.bytes).decode("utf-8", "replace") or entry.bytes == []
        if not FAKE:
            best = [t.logprob for t in entry.top_logprobs]
            assert best == sorted(best, reverse=True)
            assert entry.token == entry.top_logprobs[0].token, "greedy takes the best"
    chunks = list(ask(client, model, "Say hello.", logprobs=True, top_logprobs=3, max_tokens=6, stream=True))
    streamed = [e for c in chunks if c.choices and c.choices[0].logprobs
                for e in c.choices[0].logprobs.content]
    assert [e.token for e in streamed] == [e.token for e in entries]


def test_completions(client, model):
    one = client.completions.create(model=model, prompt="Once upon", max_tokens=8, temperature=0)
    assert one.object == "text_completion" and one.choices[0].text
    two = client.completions.create(model=model, prompt=["Once upon", "Once upon"], max_tokens=8,
                                    temperature=0)
    assert [c.text for c in two.choices] == [one.choices[0].text] * 2
    chunks = client.completions.create(model=model, prompt="Once upon", max_tokens=8, temperature=0,
                                       stream=True)
    assert "".join(c.choices[0].text for c in chunks) == one.choices[0].text


def test_completions_as_evaluation_harnesses_ask(client, model):
    """echo, logprobs and token arrays: the score of a continuation after its context."""
    def tokens(text):
        request = urllib.request.Request(
            URL + "/tokenize", json.dumps({"prompt": text}).encode(),
            {"Content-Type": "application/json", "Authorization": "Bearer " + KEY})
        return json.load(urllib.request.urlopen(request))["tokens"]

    prompts = [tokens("The capital of France is Paris"), tokens("Two and two make four. Yes")]
    answer = client.completions.create(model=model, prompt=prompts, max_tokens=1, logprobs=1,
                                       echo=True, temperature=0, seed=1234)
    for choice, ids in zip(sorted(answer.choices, key=lambda c: c.index), prompts):
        logs = choice.logprobs
        assert len(logs.tokens) == len(logs.token_logprobs) == len(logs.top_logprobs) == len(ids) + 1
        assert logs.token_logprobs[0] is None and logs.top_logprobs[0] is None
        for value, top in zip(logs.token_logprobs[1:], logs.top_logprobs[1:]):
            assert value <= 0 and value in top.values() and 1 <= len(top) <= 2
        if not FAKE:
            text = "".join(logs.tokens)
            assert text.endswith(choice.text[-3:]) and logs.text_offset[-1] <= len(choice.text)
            for i in range(1, len(ids)):
                assert choice.text[logs.text_offset[i]:].startswith(logs.tokens[i])
    # Judged without generating, the prompt's own numbers are the same.
    judged = client.completions.create(model=model, prompt=prompts, max_tokens=0, logprobs=1, echo=True)
    for a, b in zip(answer.choices, judged.choices):
        assert b.logprobs.token_logprobs[1:] == pytest.approx(a.logprobs.token_logprobs[1:-1], abs=1e-3)


def test_tools_are_accepted(client, model):
    tools = [{"type": "function", "function": {
        "name": "weather", "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
    answer = ask(client, model, "How is the weather in Rome?", tools=tools, max_tokens=16)
    assert answer.choices[0].finish_reason in ("stop", "length", "tool_calls")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model, "x", tools=tools, tool_choice="required")
    assert caught.value.param == "tool_choice"


@only_fake
def test_tool_calls_and_reasoning(client, model):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    said = ('!say <think>\\nRome.\\n</think>\\n\\n<tool_call>\\n{"name": "weather", "arguments": '
            '{"city": "Rome"}}\\n</tool_call>\\n<tool_call>\\n{"name": "weather", "arguments": '
            '{"city": "北京"}}\\n</tool_call>')
    message = ask(client, model, said, tools=tools, max_tokens=400).choices[0].message
    assert message.reasoning_content == "Rome." and message.content is None
    assert [json.loads(c.function.arguments)["city"] for c in message.tool_calls] == ["Rome", "北京"]
    chunks = list(ask(client, model, said, tools=tools, max_tokens=400, stream=True))
    calls = [c for chunk in chunks if chunk.choices for c in chunk.choices[0].delta.tool_calls or []]
    assert [c.index for c in calls] == [0, 1]
    assert [json.loads(c.function.arguments)["city"] for c in calls] == ["Rome", "北京"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    one = ask(client, model, said, tools=tools, max_tokens=400, parallel_tool_calls=False)
    assert len(one.choices[0].message.tool_calls) == 1


@only_fake
def test_an_error_in_the_middle_of_a_stream(client, model):
    with pytest.raises(openai.APIError, match="told to fail"):
        list(ask(client, model, "!say Hello\n!error", stream=True))


@pytest.mark.parametrize("fields, param", [
    ({"temperature": 5}, "temperature"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"n": 100}, "n"),
    ({"stop": ["x"] * 1000}, "stop"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"extra_body": {"no_such_field": 1}}, "no_such_field"),
])
def test_errors_name_the_field(client, model, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model, "x", **fields)
    assert caught.value.param == param and caught.value.type == "invalid_request_error"


def test_errors_of_other_kinds(client, model):
    with pytest.raises(openai.NotFoundError):
        ask(client, "no-such-model", "x")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model, "word " * 400_000)
    assert caught.value.code == "context_length_exceeded"
    if os.environ.get("XIAOHU_API_KEY"):
        with pytest.raises(openai.AuthenticationError):
            ask(openai.OpenAI(base_url=URL + "/v1", api_key="wrong", max_retries=0), model, "x")


def test_a_client_that_leaves_frees_its_work(client, model):
    before = scrape("xiaohu_http_disconnects_total")
    said = "!delay 5\n!endless" if FAKE else "Write a very long story about the sea."
    stream = ask(client, model, said, stream=True, max_tokens=1500)
    next(iter(stream))
    stream.close()
    end = time.monotonic() + 2
    while time.monotonic() < end and scrape("xiaohu_requests_running") > 0:
        time.sleep(0.01)
    assert scrape("xiaohu_requests_running") == 0
    assert scrape("xiaohu_http_disconnects_total") == before + 1
