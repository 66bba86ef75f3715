#!/usr/bin/env python3
"""How long the first token of a question on a long document takes: the first time, the second time, after
a restart, after kill -9. And a chat of five turns with other users in between: how many tokens of each
prompt are computed.

usage: second_question.py XIAOHU [--model FILE] [--tokens N] [--most RATIO] [--no-chat] [SERVE OPTIONS …]

The model is --model or $XIAOHU_TEST_MODEL. Fails when a later question takes more than RATIO of the first
one's time, when an answer differs, or when a turn computes more than what is new in it.
"""

import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time


class Server:
    def __init__(self, program, model, folder, options):
        self.process = subprocess.Popen(
            [program, "serve", "-m", model, "--name", "m", "--port", "0", "--kv-disk", folder, *options],
            stdout=subprocess.PIPE, text=True)
        begin = time.time()
        for line in self.process.stdout:
            if found := re.search(r"http://([^/:\s]+):(\d+)", line):
                self.host, self.port = found[1], int(found[2])
                break
        else:
            sys.exit("the server did not start")
        self.start_seconds = time.time() - begin

    def post(self, path, body):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=600)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            sys.exit(f"{path}: {response.status} {response.read()[:500]}")
        return response

    def ask(self, prompt, tokens=8):
        """Seconds to the first token, the text, the usage."""
        begin, first, text, usage = time.time(), None, "", {}
        response = self.post("/v1/completions", {
            "model": "m", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True, "ignore_eos": True,
            "stream_options": {"include_usage": True}})
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            if event["choices"]:
                first = first or time.time() - begin
                text += event["choices"][0]["text"]
        return first, text, usage

    def chat(self, messages, tokens):
        answer = json.load(self.post("/v1/chat/completions", {
            "model": "m", "messages": messages, "max_tokens": tokens, "temperature": 0}))
        return answer["choices"][0]["message"]["content"], answer["usage"]

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(timeout=60)


def cached(usage):
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)


def sizes(folder):
    """Name and size of each file. One that is renamed meanwhile is left out."""
    found = []
    for entry in os.scandir(folder):
        try:
            found.append((entry.name, entry.stat().st_size))
        except FileNotFoundError:
            pass
    return sorted(found)


def wait_until_written(folder):
    """The folder has files, and has not changed for a second."""
    last, since = None, time.time()
    while time.time() - since < 1:
        now = sizes(folder)
        if now != last or not any(f.endswith(".xhkv") for f, _ in now) or any(f.endswith(".part") for f, _ in now):
            last, since = now, time.time()
        time.sleep(0.1)


def document_part(options, start, folder):
    rng = random.Random(1)
    document = [rng.randrange(300, 40000) for _ in range(options.tokens)]
    question = [[rng.randrange(300, 40000) for _ in range(20)] for _ in range(3)]
    bad = []

    server = start()
    server.ask(question[2])  # warm
    first, text, usage = server.ask(document + question[0])
    print(f"first question      {first * 1e3:9.1f} ms  {usage['prompt_tokens']} tokens, {cached(usage)} cached")

    def again(name, prompt, expected=None):
        seconds, got, u = server.ask(prompt)
        print(f"{name:20}{seconds * 1e3:9.1f} ms  {seconds / first:7.2%}  {cached(u)} cached")
        if seconds > options.most * first:
            bad.append(f"{name}: more than {options.most:.0%} of the first question")
        if expected is not None and got != expected:
            bad.append(f"{name}: another answer: {got!r} instead of {expected!r}")
        return got

    other = again("second question", document + question[1])
    wait_until_written(folder)
    server.end(signal.SIGTERM)
    server = start()
    again("after a restart", document + question[1], other)
    server.end(signal.SIGKILL)
    server = start()
    again("after kill -9", document + question[0], text)
    # Killed while it writes and answers: what is whole is used, nothing else.
    server.ask([7] + document[1:1000] + question[0], 1)
    server.end(signal.SIGKILL)
    server = start()
    again("after another", document + question[1], other)
    server.end(signal.SIGTERM)
    return bad


def chat_part(start):
    bad = []
    server = start()
    messages = [{"role": "system", "content": "You are a clerk who answers in one sentence. " * 8}]
    before = 0
    for turn in range(5):
        messages.append({"role": "user", "content": f"Question {turn}: what should be done on day {turn} of a move?"})
        answer, usage = server.chat(messages, 24)
        messages.append({"role": "assistant", "content": answer})
        new, computed = usage["prompt_tokens"] - before, usage["prompt_tokens"] - cached(usage)
        print(f"turn {turn + 1}: {usage['prompt_tokens']} tokens, {new} of them new, {computed} computed")
        if computed > new:
            bad.append(f"turn {turn + 1} computes {computed} tokens for {new} new ones")
        # The answer's last token was given out, but never read by the model.
        before = usage["prompt_tokens"] + usage["completion_tokens"] - 1
        for user in range(3):
            server.chat([{"role": "user", "content": f"User {user} says on turn {turn}: " + "and so on " * 50}], 8)
    server.end(signal.SIGTERM)
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--model", default=os.environ.get("XIAOHU_TEST_MODEL"))
    parser.add_argument("--tokens", type=int, default=6000)
    parser.add_argument("--most", type=float, default=0.02)
    parser.add_argument("--no-chat", action="store_true")
    options, rest = parser.parse_known_args()
    if not options.model:
        print("SKIPPED: XIAOHU_TEST_MODEL names no model")
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix="xh_durable_")
    servers = []

    def start():
        servers.append(Server(options.program, options.model, folder, rest))
        return servers[-1]

    try:
        bad = document_part(options, start, folder)
        if not options.no_chat:
            bad += chat_part(start)
    finally:
        for server in servers:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
        shutil.rmtree(folder)
    print("\n".join(bad) or "all as it should be")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
