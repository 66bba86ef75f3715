"""Two servers behind HAProxy: a conversation stays where its beginning is in memory."""

import os
import shutil
import signal
import threading

import pytest

from fleet import Process, Server, cached, complete, free_port, metrics, request, until

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
CONFIG = os.path.join(os.path.dirname(__file__), "haproxy.cfg")
pytestmark = pytest.mark.skipif(not os.path.exists(HAPROXY), reason="no haproxy; tools/install_packages test")


class Proxy(Process):
    def __init__(self, *servers):
        self.port = free_port()
        os.environ.update(PROXY_PORT=str(self.port), PORT_A=str(servers[0].port), PORT_B=str(servers[1].port))
        super().__init__([HAPROXY, "-f", CONFIG, "-db", "-q"])
        until(self.ready)

    def ready(self):
        assert self.process.poll() is None, self.output()
        try:
            return request(self.port, "GET", "/ready")[0].status == 200
        except OSError:
            return False


def prompt_tokens(server):
    return metrics(server.port)['xiaohu_prompt_tokens_total{model="tiny"}']


def talk(proxy, name, turns=3):
    """A conversation that grows; what of each turn's prompt was in memory."""
    said, found = f"This is what {name} wants to know about the handbook of the house. " * 2, []
    for turn in range(turns):
        _, answer = complete(proxy.port, said, 8, {"X-Conversation": name})
        found.append((cached(answer), answer["usage"]["prompt_tokens"]))
        said += answer["choices"][0]["text"] + f" And then, asked {name}, what about point {turn}?"
    return found


def test_conversations_stay_where_their_beginning_is():
    with Server("--allowed-host", "fleet.example") as a, Server() as b, Proxy(a, b) as proxy:
        before = [prompt_tokens(s) for s in (a, b)]
        total = 0
        for name in [f"person-{i}" for i in range(12)]:
            turns = talk(proxy, name)
            total += sum(prompt for _, prompt in turns)
            for (_, earlier), (found, _) in zip(turns, turns[1:]):
                # All of the last turn's prompt, but for a page that was not full.
                assert found >= earlier - 32, turns
        spread = [prompt_tokens(s) - n for s, n in zip((a, b), before)]
        assert sum(spread) == total
        assert min(spread) > 0.1 * total, "all went to one server"


def test_when_a_server_leaves_its_people_move_and_the_others_stay():
    with Server() as a, Server() as b, Proxy(a, b) as proxy:
        names = [f"person-{i}" for i in range(12)]
        home = {}
        for name in names:
            before = prompt_tokens(a)
            talk(proxy, name, 1)
            home[name] = a if prompt_tokens(a) > before else b
        assert set(home.values()) == {a, b}
        a.process.send_signal(signal.SIGTERM)  # not ready at once, then gone
        assert a.process.wait(20) == 0
        for name in names:
            said = f"This is what {name} wants to know about the handbook of the house. " * 2
            _, answer = complete(proxy.port, said, 1, {"X-Conversation": name})
            assert (cached(answer) > 100) == (home[name] is b), name  # some words all have in common


def test_streams_pass_while_one_server_drains():
    with Server("--drain-grace", "1") as a, Server() as b, Proxy(a, b) as proxy:
        results = []

        def one(i):
            response, data = request(proxy.port, "POST", "/v1/completions", {
                "model": "tiny", "prompt": f"Story {i}", "max_tokens": 300, "stream": True, "ignore_eos": True,
                "temperature": 0}, {"X-Conversation": f"story {i}"})
            results.append((response.status, data.endswith(b"data: [DONE]\n\n"), b'"error"' in data))

        threads = [threading.Thread(target=one, args=(i,)) for i in range(16)]
        for thread in threads[:8]:
            thread.start()
        until(lambda: metrics(a.port)["xiaohu_http_generations"] > 0)
        a.process.send_signal(signal.SIGTERM)
        for thread in threads[8:]:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [(200, True, False)] * 16
        assert a.process.wait(20) == 0
