#!/usr/bin/env python3
"""Commands that run the default model: generate, chat (through a pipe and a terminal), tokenize,
logits, and serve's start and end.

    cli_model_test.py PATH_OF_XIAOHU        the model's file is named by XIAOHU_TEST_MODEL
"""

import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

PROGRAM = None
MODEL = os.environ.get("XIAOHU_TEST_MODEL", "")


def run(*arguments, stdin="", timeout=300):
    return subprocess.run([PROGRAM, *arguments, "-m", MODEL], capture_output=True, text=True, input=stdin, timeout=timeout)


class Terminal:
    """A program on a pseudo-terminal, read until something appears."""

    def __init__(self, *arguments, home):
        environment = dict(os.environ, XIAOHU_HOME=home, TERM="xterm", LC_ALL="C.UTF-8")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(PROGRAM, [PROGRAM, *arguments], environment)
        self.seen = ""

    def more(self, end, waiting_for):
        """Adds what comes next to `seen`; False when the program has ended, an error when nothing comes until `end`."""
        ready, _, _ = select.select([self.fd], [], [], max(0, end - time.time()))
        if not ready:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise AssertionError(f"waited too long for {waiting_for}: {self.seen!r}")
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            data = b""
        self.seen += data.decode(errors="replace")
        return bool(data)

    def until(self, pattern, seconds=120):
        end = time.time() + seconds
        while not re.search(pattern, self.seen):
            if not self.more(end, repr(pattern)):
                raise AssertionError(f"ended before {pattern!r}: {self.seen!r}")
        return self.seen

    def type(self, text):
        self.seen = ""
        os.write(self.fd, text.encode())

    def wait(self, seconds=60):
        """The exit status."""
        end = time.time() + seconds
        while self.more(end, "the end"):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class WithModel(unittest.TestCase):
    def test_generate_is_greedy_at_temperature_0_and_json_agrees(self):
        arguments = ("generate", "-p", "The capital of France is", "-n", "12", "--temperature", "0")
        plain, again, whole = run(*arguments), run(*arguments), run(*arguments, "--json")
        self.assertEqual(plain.returncode, 0, plain.stderr)
        self.assertIn("Paris", plain.stdout)
        self.assertEqual(plain.stdout, again.stdout)
        answer = json.loads(whole.stdout)
        self.assertEqual(answer["text"] + "\n", plain.stdout)
        self.assertEqual(answer["finish_reason"], "length")
        self.assertEqual(answer["usage"]["completion_tokens"], 12)
        self.assertEqual(len(answer["tokens"]), 12)

    def test_generate_stops_before_the_stop_text_and_reads_stdin(self):
        answer = run("generate", "-n", "40", "--temperature", "0", "--stop", "Paris", "--json", stdin="The capital of France is")
        parsed = json.loads(answer.stdout)
        self.assertEqual((parsed["finish_reason"], parsed["matched_stop"]), ("stop", "Paris"))
        self.assertNotIn("Paris", parsed["text"])

    def test_the_line_break_that_ends_standard_input_is_no_part_of_the_prompt(self):
        arguments = ("generate", "-n", "4", "--temperature", "0", "--json")
        given = json.loads(run(*arguments, "-p", "The capital of France is").stdout)
        piped = json.loads(run(*arguments, stdin="The capital of France is\n").stdout)
        self.assertEqual((piped["tokens"], piped["usage"]), (given["tokens"], given["usage"]))

    def test_a_seed_repeats_an_answer(self):
        arguments = ("generate", "-p", "Once upon a time", "-n", "12", "--temperature", "1", "--seed", "7")
        self.assertEqual(run(*arguments).stdout, run(*arguments).stdout)

    def test_generate_without_a_prompt_is_a_wrong_command_line(self):
        answer = run("generate")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("prompt is empty", answer.stderr)

    def test_tokenize_and_back(self):
        text = "Hello, 世界 🐯"
        ids = run("tokenize", "--ids", text).stdout.strip()
        self.assertEqual(run("tokenize", "--decode", ids).stdout, text + "\n")
        self.assertEqual(json.loads(run("tokenize", "--json", text).stdout)["ids"], [int(i) for i in ids.split(",")])

    def test_logits_are_the_same_in_one_go_and_for_a_prefix(self):
        with tempfile.TemporaryDirectory() as folder:
            rows = {}
            for ids in ("504,3575,282,4649,314", "504,3575,282"):
                path = pathlib.Path(folder) / "x.npy"
                done = run("logits", "--ids", ids, "--out", str(path))
                self.assertEqual(done.returncode, 0, done.stderr)
                data = path.read_bytes()
                self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
                header = 10 + struct.unpack("<H", data[8:10])[0]
                shape = eval(data[10:header].decode())["shape"]  # our own file
                self.assertEqual(shape, (ids.count(",") + 1, 49152))
                values = struct.unpack(f"<{shape[0] * shape[1]}f", data[header:])
                rows[ids] = [values[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0])]
            long, short = rows.values()
            for a, b in zip(long, short):  # what comes later must not matter
                self.assertLess(max(abs(x - y) for x, y in zip(a, b)), 1e-3)
            best = max(range(49152), key=long[-1].__getitem__)
            self.assertIn("Paris", run("tokenize", "--decode", str(best)).stdout)
        bad = run("logits", "--ids", "1,49152", "--out", "/dev/null")
        self.assertEqual(bad.returncode, 2)

    def test_perplexity_stays_close_to_the_float_path(self):
        float_path = 17.9839  # what --against-float says, which takes minutes
        text = pathlib.Path(__file__).parents[2] / "bench/texts/service-agreement.txt"
        for kv, bound in (("f16", 0.005), ("q8", 0.005), ("q4", 0.015)):
            done = run("perplexity", str(text), "--kv", kv, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertLess(abs(json.loads(done.stdout)["perplexity"] / float_path - 1), bound, kv)

    def test_chat_through_a_pipe_gives_the_answers_alone(self):
        done = run("chat", "--temperature", "0", "-n", "24", stdin="What is 2+2?\n/clear\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("4", done.stdout)
        self.assertNotIn("\x1b", done.stdout)

    def test_chat_in_a_terminal(self):
        with tempfile.TemporaryDirectory() as home:
            saved = pathlib.Path(home) / "talk.md"
            prompt = r">\x1b\[0m "
            terminal = Terminal("chat", "-m", MODEL, "--temperature", "0", "-n", "400", home=home)
            # Keys wait for the prompt: before it the terminal is not yet the line editor's, and Ctrl-D gets lost.
            terminal.until(r"/help, Ctrl-D ends[\s\S]*" + prompt)
            terminal.type("/help\r")
            terminal.until(r"/save FILE[\s\S]*" + prompt)
            terminal.type("Say hello 你好\r")
            terminal.until(r"\n\S+.*\n[\s\S]*" + prompt)
            terminal.type("Write a very long story about a tiger.\r")
            terminal.until(r"tiger\.[\s\S]*\n[\s\S]{60,}")
            terminal.type("\x03")  # Ctrl-C stops the answer, not the program
            terminal.until(r"\[stopped\][\s\S]*" + prompt)
            terminal.type("half a line")
            terminal.until("half a line")
            terminal.type("\x03")  # and clears a line
            terminal.until(prompt)
            terminal.type(f"/save {saved}\r")
            terminal.until(r"Saved to[\s\S]*" + prompt)
            terminal.type("/nosuch\r")
            terminal.until(r"There is no /nosuch[\s\S]*" + prompt)
            terminal.type("\x04")
            self.assertEqual(terminal.wait(), 0)
            text = saved.read_text()
            self.assertIn("**You:** Say hello 你好", text)
            self.assertIn("**You:** Write a very long story", text)
            self.assertNotIn("half a line", text)
            history = pathlib.Path(home) / "chat_history"
            self.assertIn("tiger", history.read_text(errors="replace"))
            self.assertEqual(history.stat().st_mode & 0o077, 0)

    def test_serve_answers_and_ends_on_sigterm(self):
        server = subprocess.Popen([PROGRAM, "serve", "-m", MODEL, "--port", "0", "--kv-disk-budget", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            greeting = ""
            while "curl" not in greeting:
                line = server.stdout.readline()
                self.assertTrue(line, "ended early: " + greeting)
                greeting += line
            address = re.search(r"http://127\.0\.0\.1:\d+", greeting).group()
            with urllib.request.urlopen(address + "/health", timeout=20) as answer:
                self.assertEqual(answer.status, 200)
            with urllib.request.urlopen(address + "/", timeout=20) as answer:
                self.assertIn(b"<html", answer.read())
            # The line that is printed to be tried really works.
            command = re.search(r"curl .*", greeting).group()
            done = subprocess.run(["sh", "-c", command.replace("curl", "curl -sS", 1).replace('"messages"', '"max_tokens": 4, "messages"', 1)],
                                  capture_output=True, text=True, timeout=120)
            self.assertIn('"choices"', done.stdout, command + done.stderr)
        finally:
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(40), 0)
            server.stdout.close()
            server.stderr.close()


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    if not os.path.exists(MODEL):
        print("SKIPPED: XIAOHU_TEST_MODEL names no model")
        sys.exit(77)
    unittest.main(verbosity=2)
