"""One HTTP/1.1 connection that streams answers and notes when each piece came.

Standard library only, and thin: at 32 streams a general HTTP client would take a noticeable part of a
small server's processor. A connection serves one request at a time and is used again afterwards.
"""
import asyncio
import dataclasses
import json
import ssl
import time
import urllib.parse


@dataclasses.dataclass
class Record:
    """What one request met. Times are seconds since the run began."""
    due: float                     # when it should have been sent
    kind: str = "user"             # or "intruder"
    sent: float = 0.0
    end: float = 0.0
    status: int = 0                # 0: the connection failed
    error: str = ""
    retry_after: float | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0                # of the answer
    pieces: list = dataclasses.field(default_factory=list)  # times at which text came

    @property
    def good(self):
        return self.status == 200 and not self.error and bool(self.pieces)


class Connection(asyncio.Protocol):
    def __init__(self, clock):
        self.clock = clock
        self.closed = False
        self.reset(None)

    def reset(self, record):
        self.record, self.done = record, asyncio.get_running_loop().create_future()
        self.raw, self.body = bytearray(), bytearray()
        self.head, self.left, self.chunked, self.is_stream = None, None, False, False

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, problem):
        self.closed = True
        if not self.done.done():
            if self.head is not None and self.left is None and not self.chunked:
                self.finish()  # an answer that ends with its connection
            else:
                self.fail(f"the connection was closed{': ' + str(problem) if problem else ''}")

    def fail(self, why):
        if self.record is None:  # nothing has been asked yet
            return
        self.record.error = self.record.error or why
        self.record.end = self.clock()
        if not self.done.done():
            self.done.set_result(None)

    def data_received(self, data):
        if self.done.done():
            return
        self.raw += data
        try:
            while self.step():
                pass
        except (ValueError, KeyError, IndexError, TypeError) as problem:
            self.fail(f"not understood: {problem!r}")
            self.transport.abort()

    def step(self):
        """Takes what is complete from `raw`; False when more is needed."""
        raw = self.raw
        if self.head is None:
            end = raw.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.read_head(bytes(raw[:end]))
            del raw[:end + 4]
            return True
        if self.chunked:
            line = raw.find(b"\r\n")
            if line < 0:
                return False
            size = int(raw[:line].split(b";")[0], 16)
            if len(raw) < line + 4 + size:
                return False
            self.take(raw[line + 2:line + 2 + size])
            del raw[:line + 4 + size]
            if size == 0:
                self.finish()
            return size > 0
        part = raw if self.left is None else raw[:self.left]
        self.take(part)
        if self.left is not None:
            self.left -= len(part)
        self.raw = raw[len(part):]
        if self.left == 0:
            self.finish()
        return False

    def read_head(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.head = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        self.record.status = int(lines[0].split()[1])
        self.chunked = "chunked" in self.head.get("transfer-encoding", "")
        if not self.chunked and "content-length" in self.head:
            self.left = int(self.head["content-length"])
        self.is_stream = "event-stream" in self.head.get("content-type", "")
        if "retry-after" in self.head:
            self.record.retry_after = float(self.head["retry-after"])
        if self.left == 0:
            self.finish()

    def take(self, data):
        self.body += data
        if not self.is_stream:
            return
        now = self.clock()
        while (end := self.body.find(b"\n\n")) >= 0:
            event = bytes(self.body[:end])
            del self.body[:end + 2]
            if event.startswith(b"data: {"):
                self.take_event(json.loads(event[6:]), now)

    def take_event(self, event, now):
        if "error" in event:
            self.record.error = str(event["error"])[:300]
            return
        for choice in event.get("choices") or []:
            delta = choice.get("delta") or {}
            if choice.get("text") or delta.get("content") or delta.get("reasoning_content"):
                self.record.pieces.append(now)
        if usage := event.get("usage"):
            self.record.prompt_tokens = usage.get("prompt_tokens") or 0
            self.record.tokens = usage.get("completion_tokens") or 0
            details = usage.get("prompt_tokens_details") or {}
            self.record.cached_tokens = details.get("cached_tokens") or 0

    def finish(self):
        self.record.end = self.clock()
        if self.record.status != 200:
            self.record.error = self.record.error or bytes(self.body[:300]).decode("utf-8", "replace")
        self.record.tokens = self.record.tokens or len(self.record.pieces)
        if not self.done.done():
            self.done.set_result(None)
        if self.head.get("connection", "").lower() == "close":
            self.transport.close()
            self.closed = True


class Target:
    """A server and the connections to it that are free."""

    def __init__(self, url, key="", timeout=600):
        parts = urllib.parse.urlsplit(url if "://" in url else "http://" + url)
        self.host, self.tls = parts.hostname, parts.scheme == "https"
        self.port = parts.port or (443 if self.tls else 80)
        self.base = parts.path.rstrip("/").removesuffix("/v1")
        self.key, self.timeout, self.free = key, timeout, []
        self.start = time.perf_counter()

    def clock(self):
        return time.perf_counter() - self.start

    async def connection(self):
        while self.free:
            connection = self.free.pop()
            if not connection.closed and not connection.transport.is_closing():
                return connection, False
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context() if self.tls else None
        _, connection = await loop.create_connection(lambda: Connection(self.clock), self.host, self.port, ssl=tls)
        return connection, True

    async def ask(self, method, path, body, record, headers=()):
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {self.base}{path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Accept: */*", *headers]
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        if data:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        record.sent, connection = self.clock(), None
        try:
            for attempt in range(2):
                connection, is_new = await self.connection()
                connection.reset(record)
                connection.transport.write("\r\n".join([*lines, "", ""]).encode() + data)
                await asyncio.wait_for(asyncio.shield(connection.done), self.timeout)
                # A server may close a kept connection just when it is used again.
                if attempt or is_new or record.status or not connection.closed:
                    break
                record.error = ""
        except TimeoutError:
            record.error, record.end = "timed out", self.clock()
            if connection:
                connection.transport.abort()
        except OSError as problem:
            record.error, record.end = str(problem), self.clock()
        except asyncio.CancelledError:  # whoever asked has left
            if connection:
                connection.transport.abort()
            raise
        else:
            if not connection.closed:
                self.free.append(connection)
            return connection
        return None

    async def get_json(self, path):
        record = Record(due=self.clock())
        connection = await self.ask("GET", path, None, record)
        if connection is None or record.status != 200:
            raise OSError(f"{path}: {record.error or record.status}")
        return json.loads(connection.body)

    def close(self):
        for connection in self.free:
            connection.transport.close()
