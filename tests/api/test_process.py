"""The server as a process: start, refusal to start, TLS, drain. XIAOHU_SERVER is its command line."""

import http.client
import json
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

COMMAND = shlex.split(os.environ.get("XIAOHU_SERVER", ""))
FAKE = os.environ.get("XIAOHU_FAKE") == "1"
pytestmark = pytest.mark.skipif(not COMMAND, reason="XIAOHU_SERVER names no command")


class Server:
    def __init__(self, *arguments):
        environment = {k: v for k, v in os.environ.items() if k != "XIAOHU_API_KEY"}
        self.process = subprocess.Popen([*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=environment)
        self.url = None
        for line in self.process.stdout:
            if found := re.search(r"(https?)://([^/:\s]+):(\d+)", line):
                self.scheme, self.host, self.port = found[1], found[2], int(found[3])
                self.url = found[0]
                break
        # Nobody reads the log here; a full pipe must not stop the server.
        self.log = []
        if self.url:
            threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def get(self, path):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()


def long_request(server):
    status, data = server.get("/v1/models")
    model = json.loads(data)["data"][0]["id"]
    said = "!delay 20\n!say " + "0123456789" * 5 if FAKE else "Write a long story."
    return json.dumps({"model": model, "stream": True, "max_tokens": 60 if FAKE else 30,
                       "messages": [{"role": "user", "content": said}]})


def test_sigterm_lets_running_answers_finish():
    with Server() as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        connection.request("POST", "/v1/chat/completions", long_request(server),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        got = response.read1()
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        status, _ = server.get("/ready")
        assert status == 503
        assert server.get("/health")[0] == 200
        got += response.read()
        assert got.rstrip().endswith(b"data: [DONE]")
        assert server.process.wait(10) == 0
        assert time.monotonic() - begin < 30


def test_an_idle_server_ends_at_once():
    with Server() as server:
        kept = socket.create_connection((server.host, server.port))
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(2) == 0
        kept.close()


def test_a_second_signal_ends_now():
    with Server() as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        body = json.loads(long_request(server))
        body["messages"][0]["content"] = "!delay 10\n!endless" if FAKE else "Write a very long story."
        body["max_tokens"] = 1500
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        connection.getresponse().read1()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(3) == 0


def test_a_taken_port_is_named():
    with Server() as first:
        done = subprocess.run([*COMMAND, "--port", str(first.port)], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "something else listens there" in done.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--host", "0.0.0.0"], "--api-key"),
    (["--host", "0.0.0.0", "--api-key", "a-long-enough-key"], "--insecure-http"),
    (["--api-key", "short"], "8 characters"),
    (["--tls-cert", "/nonexistent.pem", "--tls-key", "/nonexistent.pem"], "/nonexistent.pem"),
])
def test_what_would_expose_the_server_is_refused(arguments, words):
    done = subprocess.run([*COMMAND, "--port", "0", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and words in done.stderr, done.stderr


def test_tls_1_3(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                           "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                           "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], capture_output=True)
    assert made.returncode == 0, made.stderr
    with Server("--tls-cert", str(cert), "--tls-key", str(key)) as server:
        assert server.scheme == "https"
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=30)
        connection.request("GET", "/v1/models")
        model = json.loads(connection.getresponse().read())["data"][0]["id"]
        assert connection.sock.version() == "TLSv1.3"
        body = json.dumps({"model": model, "stream": True, "max_tokens": 5,
                           "messages": [{"role": "user", "content": "Hi"}]})
        for _ in range(3):
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            assert connection.getresponse().read().endswith(b"data: [DONE]\n\n")
        # A client that leaves in the middle of an answer, and one that speaks plain HTTP.
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        connection.close()
        with socket.create_connection((server.host, server.port), timeout=10) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                assert b"HTTP/1.1 200" not in plain.recv(4096)
            except ConnectionResetError:
                pass
        old = ssl.create_default_context(cafile=str(cert))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with socket.create_connection((server.host, server.port), timeout=10) as s:
                old.wrap_socket(s, server_hostname="localhost")
        connection = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=30)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200


def test_prompts_and_keys_are_not_in_the_log():
    with Server("--api-key", "the-secret-key-of-this-test") as server:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": "Bearer the-secret-key-of-this-test"}
        connection.request("GET", "/v1/models", headers=headers)
        model = json.loads(connection.getresponse().read())["data"][0]["id"]
        for content in ("a prompt nobody may read", "x" * 20):
            connection.request("POST", "/v1/chat/completions", json.dumps(
                {"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": content}]}), headers)
            assert connection.getresponse().read()
        connection.request("POST", "/v1/completions", b'{"prompt": "a prompt nobody may read", broken', headers)
        assert b"invalid_json" in connection.getresponse().read()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(10)
        log = "".join(server.log) + server.process.stdout.read()
        assert "POST /v1/chat/completions 200" in log
        for secret in ("nobody may read", "the-secret-key", "xxxx"):
            assert secret not in log
