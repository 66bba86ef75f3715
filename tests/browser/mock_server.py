"""A stand-in for the server, to develop and test the page without a model.

It serves the bundled page (the build's web/dist folder) with the headers of the real server, and an API whose
answers are chosen by words in the last message:
  "slow" many words with pauses · "markdown" every kind of block · "attack" a hostile answer · "think" reasoning first
  "odd" the same stream cut into single bytes with CR LF and comments · "break" the connection ends in the middle
  "busy" 503 with Retry-After · "long" context_length_exceeded · "fail" an error inside the stream · else an echo.
Run it alone:  python3 tests/browser/mock_server.py [PORT] [--key KEY]
"""

import json
import mimetypes
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(os.environ.get("XIAOHU_PAGE_DIR", ROOT / "build/release/web/dist"))
POLICY = (ROOT / "web/security_policy.txt").read_text().strip()
ANSWERS = Path(__file__).parent / "answers"


def pieces_of(text, size=4):
    return [text[i : i + size] for i in range(0, len(text), size)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "MockServer"

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, message, code=None, **headers):
        self.reply(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}, **headers)

    def allowed(self):
        key = self.server.key
        if key is None or self.headers.get("Authorization") == "Bearer " + key:
            return True
        self.error(401, "Missing or wrong API key.", "invalid_api_key")
        return False

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/v1/models":
            if self.allowed():
                models = self.server.models
                self.reply(200, {"object": "list", "data": [{"id": m, "object": "model", "created": 0, "owned_by": "xiaohu"} for m in models]})
            return
        name = "index.html" if path == "/" else path[1:]
        file = (PAGE / name).resolve()
        if not file.is_file() or PAGE.resolve() not in file.parents:
            return self.error(404, "There is nothing at " + path)
        kind = {"woff2": "font/woff2", "js": "text/javascript; charset=utf-8"}.get(name.rsplit(".", 1)[-1])
        self.reply(200, file.read_bytes(), kind or mimetypes.guess_type(name)[0] or "application/octet-stream")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.gone:
            self.close_connection = True
            return
        if not self.allowed():
            return
        if body["model"] not in self.server.models:
            return self.error(404, f"There is no model {body['model']!r} here.", "model_not_found")
        self.server.requests.append(body)
        asked = next((m["content"] for m in reversed(body["messages"]) if m["role"] == "user"), "")
        if "busy" in asked:
            return self.error(503, "The machine is full.", "overloaded", Retry_After="7")
        if "long" in asked:
            return self.error(400, "This model reads 8192 tokens; the conversation has 9000.", "context_length_exceeded")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self.stream(asked, body)
        except (BrokenPipeError, ConnectionResetError):
            self.server.dropped += 1

    def stream(self, asked, body):
        odd = "odd" in asked
        reasoning, text, pause = self.answer(asked)

        def send(event):
            data = json.dumps(event, ensure_ascii=False) if event != "[DONE]" else event
            if odd:
                for byte in f": keep-alive\r\nid: 1\r\ndata:{data}\r\n\r\n".encode():
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
            else:
                self.wfile.write(f"data: {data}\n\n".encode())
                self.wfile.flush()

        def chunk(delta, finish=None):
            send({"id": "c1", "object": "chat.completion.chunk", "model": body["model"], "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        time.sleep(self.server.delay)
        chunk({"role": "assistant", "content": ""})
        for piece in pieces_of(reasoning):
            chunk({"reasoning_content": piece})
            time.sleep(pause)
        parts = pieces_of(text)
        for i, piece in enumerate(parts):
            chunk({"content": piece})
            time.sleep(pause)
            if "break" in asked and i == len(parts) // 2:
                return
            if "fail" in asked and i == len(parts) // 2:
                return send({"error": {"message": "The engine gave up on this request.", "type": "server_error", "code": None}})
        chunk({}, "length" if body.get("max_tokens") == 1 else "stop")
        send({"id": "c1", "object": "chat.completion.chunk", "model": body["model"], "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": len(parts), "total_tokens": 11 + len(parts)}})
        send("[DONE]")

    def answer(self, asked):
        """(reasoning, text, seconds between pieces)"""
        if "slow" in asked:
            return "", "".join(f"word{i} " + ("\n\n" if i % 40 == 39 else "") for i in range(900)), 0.004
        for name in ("markdown", "attack"):
            if name in asked or self.server.answer == name:
                return "", (ANSWERS / f"{name}.md").read_text(), 0.0005
        if self.server.answer:
            return "Keys, buckets, collisions: start with the picture.", (ANSWERS / f"{self.server.answer}.md").read_text(), 0.004
        if "think" in asked:
            return "Let me think about this.\nFirst one thing, then another.", "The answer is **42**.", 0.002
        return "", f"You said: {asked}", 0.001


class MockServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port=0, key=None, models=("SmolLM2-135M-Instruct", "Qwen3-4B"), delay=0.02):
        super().__init__(("127.0.0.1", port), Handler)
        self.key, self.models, self.delay = key, list(models), delay
        self.requests, self.dropped = [], 0
        self.gone = False  # connections end without a reply
        self.answer = None  # the name of a file under answers/, whatever is asked

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self


if __name__ == "__main__":
    arguments = sys.argv[1:]
    key = arguments[arguments.index("--key") + 1] if "--key" in arguments else None
    port = int(arguments[0]) if arguments and arguments[0].isdigit() else 8081
    server = MockServer(port, key)
    print(server.url)
    server.serve_forever()
