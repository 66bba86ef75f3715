"""One server with a real engine under more than it can take: disconnects, overload, shutdown, long churn.

XIAOHU_LONG_TESTS=1 makes 10,000 disconnects of the 400 (security.md's T17).
"""

import asyncio
import json
import os
import pathlib
import random
import signal
import sys
import time

from fleet import Server, complete, metrics, request, until

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent / "bench"))
from load_client import Record, Target  # noqa: E402

DISCONNECTS = 10_000 if os.environ.get("XIAOHU_LONG_TESTS") else 400


def of_tiny(values, name):
    return values[name + '{model="tiny"}']


def nothing_left(port):
    """No request, and every page in use belongs to a prefix that may go."""
    values = metrics(port)
    return (of_tiny(values, "xiaohu_requests_running") == 0 and of_tiny(values, "xiaohu_requests_waiting") == 0
            and values["xiaohu_http_generations"] == 0 and values["xiaohu_http_connections"] == 1
            and of_tiny(values, "xiaohu_kv_pages_used") == of_tiny(values, "xiaohu_kv_pages_cached"))


def body(prompt, n, stream=True):
    return {"model": "tiny", "prompt": prompt, "max_tokens": n, "stream": stream, "temperature": 0, "ignore_eos": True,
            **({"stream_options": {"include_usage": True}} if stream else {})}


async def leave(port, rng):
    """Connects, sends all or part of a request, reads a little or nothing, and goes."""
    data = json.dumps(body("x" * rng.randrange(1, 300), rng.randrange(1, 150), rng.random() < 0.7)).encode()
    raw = (f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
           f"Content-Length: {len(data)}\r\n\r\n").encode() + data
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw[:rng.randrange(len(raw))] if rng.random() < 0.3 else raw)
        if rng.random() < 0.6:
            try:
                await asyncio.wait_for(reader.read(rng.choice([1, 100, 4000])), rng.random() * 0.05)
            except TimeoutError:
                pass
        if rng.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()
    except ConnectionError:
        pass


def test_random_disconnects_leak_nothing_and_change_nobodys_words():
    with Server("--max-sequences", "16", "--log-level", "off", kv_budget="8MiB") as server:
        target = Target(f"http://127.0.0.1:{server.port}")
        honest = body("What an honest client asks.", 60, stream=False)

        async def ask_honestly(answers, stop):
            while not stop.is_set():
                record = Record(due=0)
                connection = await target.ask("POST", "/v1/completions", honest, record)
                assert record.status == 200, record
                answers.append(json.loads(connection.body)["choices"][0]["text"])

        async def main():
            rng, stop, answers = random.Random(17), asyncio.Event(), []
            steady = asyncio.create_task(ask_honestly(answers, stop))
            running = set()
            for _ in range(DISCONNECTS):
                running.add(asyncio.create_task(leave(server.port, rng)))
                if len(running) >= 24:
                    _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(running)
            stop.set()
            await steady
            target.close()
            return answers

        answers = asyncio.run(main())
        assert len(answers) >= 3 and set(answers) == {answers[0]}
        until(lambda: nothing_left(server.port), 5)
        assert of_tiny(metrics(server.port), "xiaohu_sequences_cancelled_total") > DISCONNECTS / 20
        assert of_tiny(metrics(server.port), "xiaohu_sequences_failed_total") == 0


def test_ten_times_too_much_is_refused_honestly_and_passes():
    """4 run, 8 wait; 120 come at once and again (T16)."""
    with Server("--max-sequences", "4", "--max-waiting", "8", "--log-level", "off") as server:
        alone = complete(server.port, "Is anybody there?", 40)[1]["choices"][0]["text"]
        target = Target(f"http://127.0.0.1:{server.port}")

        async def main():
            records = [Record(due=0) for _ in range(240)]
            await asyncio.gather(*(target.ask("POST", "/v1/completions", body(f"Prompt {i} " * 8, 400), r)
                                   for i, r in enumerate(records)))
            target.close()
            return records

        records = asyncio.run(main())
        good = [r for r in records if r.good]
        refused = [r for r in records if r.status in (429, 503)]
        odd = [r for r in records if not r.good and r not in refused]
        assert not odd, odd[:3]
        assert len(good) >= 8 and len(refused) >= 60, (len(good), len(refused))
        assert all(r.tokens == 400 for r in good)
        assert all(r.retry_after and r.retry_after >= 1 for r in refused)
        # Who is refused knows it long before others are served.
        assert sorted(r.end - r.sent for r in refused)[len(refused) // 2] < max(r.end - r.sent for r in good) / 2
        until(lambda: nothing_left(server.port), 5)
        assert complete(server.port, "Is anybody there?", 40)[1]["choices"][0]["text"] == alone


def test_sigterm_under_load_finishes_what_runs():
    """T20: not ready at once, nothing new, everything begun comes to its end, exit status 0."""
    with Server("--log-level", "off") as server:
        target = Target(f"http://127.0.0.1:{server.port}")

        async def main():
            records = [Record(due=0) for _ in range(24)]
            asks = [asyncio.create_task(target.ask("POST", "/v1/completions", body(f"Story {i}", 400), r))
                    for i, r in enumerate(records)]
            while not all(r.pieces for r in records):
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            late = Record(due=0)
            ready = Record(due=0)
            await target.ask("GET", "/ready", None, ready)
            await target.ask("POST", "/v1/completions", body("Too late", 4), late)
            await asyncio.gather(*asks)
            target.close()
            return records, late, ready

        records, late, ready = asyncio.run(main())
        assert all(r.good and r.tokens == 400 for r in records)
        assert late.status in (0, 503) and ready.status in (0, 503)
        begin = time.monotonic()
        assert server.process.wait(10) == 0
        assert time.monotonic() - begin < 5


def test_a_schema_is_refused_rather_than_ignored():
    with Server() as server:
        response, data = request(server.port, "POST", "/v1/chat/completions", {
            "model": "tiny", "messages": [{"role": "user", "content": "JSON, please"}], "max_tokens": 4,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}})
        assert response.status == 400 and json.loads(data)["error"]["param"] == "response_format"
