"""What a person tries first: curl (XIAOHU_URL, XIAOHU_API_KEY)."""

import json
import os
import subprocess

URL = os.environ["XIAOHU_URL"].rstrip("/")
KEY = os.environ.get("XIAOHU_API_KEY", "")


def curl(*arguments, key=KEY):
    auth = ["-H", "Authorization: Bearer " + key] if key else []
    return subprocess.run(["curl", "-sS", "--max-time", "60", *auth, *arguments],
                          capture_output=True, text=True, check=True).stdout


def test_health_needs_no_key():
    assert json.loads(curl(URL + "/health", key="")) == {"status": "ok"}
    assert json.loads(curl(URL + "/ready", key="")) == {"status": "ready"}


def test_chat_and_stream():
    model = json.loads(curl(URL + "/v1/models"))["data"][0]["id"]
    request = {"model": model, "max_tokens": 8, "temperature": 0,
               "messages": [{"role": "user", "content": "Hello!"}]}
    send = ["-H", "Content-Type: application/json", "-d"]
    whole = json.loads(curl(URL + "/v1/chat/completions", *send, json.dumps(request)))
    text = whole["choices"][0]["message"]["content"]
    stream = curl("-N", URL + "/v1/chat/completions", *send, json.dumps({**request, "stream": True}))
    events = [e[len("data: "):] for e in stream.split("\n\n") if e.startswith("data: ")]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(e)["choices"][0]["delta"] for e in events[:-1]]
    assert "".join(d.get("content", "") for d in deltas) == text


def test_metrics_are_prometheus_text():
    text = curl(URL + "/metrics")
    for line in text.splitlines():
        if line.startswith("#"):
            assert line.split(" ")[1] in ("HELP", "TYPE")
        else:
            float(line.rsplit(" ", 1)[1])
            assert line.startswith("xiaohu_")


def test_wrong_paths_and_methods():
    status = ["-o", "/dev/null", "-w", "%{http_code}"]
    assert curl(*status, URL + "/v1/nothing") == "404"
    assert curl(*status, "-X", "DELETE", URL + "/v1/models") == "405"
    assert curl(*status, "-d", "x=1", URL + "/v1/completions") == "415"
    if KEY:
        assert curl(*status, URL + "/v1/models", key="") == "401"
        assert curl(*status, URL + "/metrics", key="") == "401"


def test_tokens_there_and_back():
    send = ["-H", "Content-Type: application/json", "-d"]
    text = "Hello, 小虎 \U0001F42F"
    tokens = json.loads(curl(URL + "/tokenize", *send, json.dumps(
        {"prompt": text, "add_special_tokens": False})))["tokens"]
    back = json.loads(curl(URL + "/detokenize", *send, json.dumps({"tokens": tokens})))["prompt"]
    assert back == text
