"""Events of the prefix cache, read by a real ZeroMQ subscriber as a router would."""

import hashlib
import struct
import subprocess

import msgpack
import pytest
import zmq

from fleet import MODEL, PAGE, PROGRAM, Server, complete, free_port


class Router:
    """Keeps an index of blocks as llm-d's does: by hash, with parent and tokens."""

    def __init__(self, endpoint):
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"kv@")
        self.socket.connect(endpoint)
        self.blocks, self.removed, self.numbers, self.topics = {}, [], [], set()

    def read(self, until, seconds=20):
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        for _ in range(int(seconds * 10)):
            if until(self):
                return
            if poller.poll(100):
                self.take(self.socket.recv_multipart())
        raise AssertionError(f"{len(self.blocks)} blocks, {len(self.removed)} removed")

    def take(self, frames):
        topic, number, payload = frames
        self.topics.add(topic.decode())
        assert len(number) == 8
        self.numbers.append(struct.unpack(">Q", number)[0])
        stamp, events = msgpack.unpackb(payload)
        assert stamp > 1e9
        for event in events:
            if event[0] == "BlockStored":
                _, hashes, parent, tokens, size, adapter, medium, adapter_name = event
                assert size == PAGE and len(tokens) == PAGE * len(hashes)
                assert adapter is None and medium is None and adapter_name is None
                assert parent is None or parent in self.blocks, "a block before its parent"
                for i, block in enumerate(hashes):
                    self.blocks[block] = (parent, tuple(tokens[i * PAGE:(i + 1) * PAGE]))
                    parent = block
            elif event[0] == "BlockRemoved":
                _, hashes, medium = event
                for block in hashes:
                    del self.blocks[block]
                    self.removed.append(block)
            else:
                assert event == ["AllBlocksCleared"]
                self.blocks.clear()

    def longest(self, tokens):
        """How many pages of these tokens are known, walking from the beginning."""
        children = {(parent, content): block for block, (parent, content) in self.blocks.items()}
        at, n = None, 0
        while (at := children.get((at, tuple(tokens[n * PAGE:(n + 1) * PAGE])))) is not None:
            n += 1
        return n

    def close(self):
        self.socket.close(0)


def tokens_of(seed, pages):
    return [(seed * 37 + i * 7 + i // 5) % 250 for i in range(pages * PAGE)]


def test_a_router_knows_what_is_in_memory():
    port = free_port()
    with Server("--kv-events", f"tcp://127.0.0.1:{port}", "--kv-events-id", "10.1.2.3:8000") as server:
        router = Router(f"tcp://127.0.0.1:{port}")
        first = tokens_of(1, 4)
        complete(server.port, first + [1])
        router.read(lambda r: r.longest(first) == 4)
        assert router.topics == {"kv@10.1.2.3:8000@tiny"}

        # A second prompt with the same beginning adds only what is new.
        second = first[:2 * PAGE] + tokens_of(2, 3)
        complete(server.port, second + [1])
        router.read(lambda r: r.longest(second) == 5)
        assert router.longest(first) == 4 and len(router.blocks) == 7
        assert router.numbers == list(range(router.numbers[0], router.numbers[0] + len(router.numbers)))

        # Hashes are a matter of content alone: SHA-256 over the parent's hash and the token ids.
        root = hashlib.sha256(b"xiaohu\0tiny\0").digest()[:8]
        content = b"".join(struct.pack(">I", t) for t in first[:PAGE])
        assert int.from_bytes(hashlib.sha256(root + content).digest()[:8]) in router.blocks

        # One that comes late is told everything.
        late = Router(f"tcp://127.0.0.1:{port}")
        late.read(lambda r: len(r.blocks) == 7)
        assert late.blocks == router.blocks
        router.close()
        late.close()


def test_evicted_pages_are_gone_from_the_index():
    port = free_port()
    with Server("--kv-events", f"tcp://127.0.0.1:{port}", kv_budget="300KiB") as server:
        router = Router(f"tcp://127.0.0.1:{port}")
        for seed in range(40):
            complete(server.port, tokens_of(seed, 8) + [1])
        router.read(lambda r: r.removed and r.longest(tokens_of(39, 8)) == 8)
        assert router.longest(tokens_of(0, 8)) == 0
        router.close()


@pytest.mark.parametrize("endpoint, words", [
    ("tcp://*:0", "--insecure-kv-events"),
    ("tcp://10.0.0.1:5557", "--insecure-kv-events"),
    ("udp://127.0.0.1:1", "tcp://HOST:PORT"),
    ("tcp://127.0.0.1:99999", "tcp://HOST:PORT"),
    ("tcp://127.0.0.1:x", "tcp://HOST:PORT"),
    ("ipc:///nonexistent/folder/socket", "cannot listen"),
])
def test_prompts_do_not_leave_the_machine_unasked(endpoint, words):
    done = subprocess.run([PROGRAM, "serve", "--model", MODEL, "--port", "0", "--kv-events", endpoint],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and words in done.stderr, done.stderr
