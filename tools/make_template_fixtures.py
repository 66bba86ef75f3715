#!/usr/bin/env python3
"""Writes the expected renderings of tests/templates with Python's Jinja2.

Needs transformers and jinja2 (never at build or test time); the environment is the one that
transformers' apply_chat_template makes. The clock stands at FIXED_NOW, UTC.

    tools/make_template_fixtures.py               templates × conversations → expected/NAME.txt
    tools/make_template_fixtures.py snippets      snippets.txt: fills in every "--- expect" part

A golden is a run of records:  "@@ CONVERSATION ok BYTES\n" TEXT "\n"  or  "@@ CONVERSATION error\n".
"""
import datetime
import json
import pathlib
import sys

from transformers.utils import chat_template_utils

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "templates"
FIXED_NOW = datetime.datetime(2026, 1, 15, 12, 34, 56)


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return FIXED_NOW


chat_template_utils.datetime = FixedClock


def render(source, variables):
    """The text as bytes, or None with the reason when Jinja2 refuses."""
    try:
        template = chat_template_utils._compile_jinja_template(source)
        return template.render(**variables).encode("utf-8"), ""
    except Exception as reason:  # any refusal is the same to us
        return None, f"{type(reason).__name__}: {reason}"


def make_goldens():
    conversations = sorted((ROOT / "conversations").glob("*.json"))
    (ROOT / "expected").mkdir(exist_ok=True)
    for path in sorted(ROOT.glob("*.jinja")):
        source = path.read_bytes().decode("utf-8")
        out = b""
        counts = {"ok": 0, "error": 0}
        for conversation in conversations:
            variables = json.loads(conversation.read_text(encoding="utf-8"))
            text, reason = render(source, variables)
            if text is None:
                counts["error"] += 1
                print(f"  {path.stem} {conversation.stem}: {reason[:110]}")
                out += f"@@ {conversation.stem} error\n".encode()
            else:
                counts["ok"] += 1
                out += f"@@ {conversation.stem} ok {len(text)}\n".encode() + text + b"\n"
        (ROOT / "expected" / f"{path.stem}.txt").write_bytes(out)
        print(path.stem, counts)


def make_snippets():
    """snippets.txt: "=== title", template lines, "--- expect", text lines (or "!error")."""
    path = ROOT / "snippets.txt"
    variables = json.loads((ROOT / "snippet_variables.json").read_text(encoding="utf-8"))
    out = []
    for block in path.read_bytes().decode("utf-8").split("=== ")[1:]:
        title, _, rest = block.partition("\n")
        source = rest.partition("\n--- expect\n")[0].rstrip("\n")
        text, reason = render(source, variables)
        if text is None:
            print(f"{title}: {reason[:100]}")
        expected = "!error" if text is None else json.dumps(text.decode(), ensure_ascii=False)
        out.append(f"=== {title}\n{source}\n--- expect\n{expected}\n")
    path.write_bytes("".join(out).encode("utf-8"))
    print(len(out), "snippets")


if __name__ == "__main__":
    make_snippets() if sys.argv[1:] == ["snippets"] else make_goldens()
