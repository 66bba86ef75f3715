"""Servers with a tiny model, for tests of what several of them do together."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PROGRAM = os.environ["XIAOHU_PROGRAM"]
MODEL = pathlib.Path(__file__).parent.parent / "fixtures" / "models" / "qwen3.gguf"
PAGE = 32  # tokens of a page of the key-value cache; with this model a token is a byte


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A child with its log; ended with SIGTERM."""

    def __init__(self, command):
        self.log = tempfile.TemporaryFile("w+")
        environment = {k: v for k, v in os.environ.items() if k != "XIAOHU_API_KEY"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Server(Process):
    def __init__(self, *arguments, kv_budget="64MiB"):
        # The cache of packed weights stays out of the source tree.
        folder = tempfile.mkdtemp()
        self.folder = folder
        model = shutil.copy(MODEL, folder)
        super().__init__([PROGRAM, "serve", "--model", model, "--name", "tiny", "--port", "0", "--threads", "1",
                          "--kv-budget", kv_budget, "--kv-disk-budget", "0", *arguments])
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise AssertionError(self.output())

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)


def request(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json", **(headers or {})}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def complete(port, prompt, n=1, headers=None, **more):
    response, data = request(port, "POST", "/v1/completions",
                             {"model": "tiny", "prompt": prompt, "max_tokens": n, "temperature": 0, "ignore_eos": True,
                              **more}, headers)
    assert response.status == 200, data
    return response, json.loads(data)


def cached(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def metrics(port):
    """{name: value} of /metrics; labels are part of the name."""
    _, data = request(port, "GET", "/metrics")
    lines = [line for line in data.decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def until(check, seconds=20):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
