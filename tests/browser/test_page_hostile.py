"""The page with a server that is slow, broken or hostile: only the stand-in can be that."""

import re
import time

from playwright.sync_api import expect

from browser import PHONE
from mock_server import ANSWERS, MockServer
from steps import ANSWER, ask, body, finished, write


def test_a_hostile_answer_does_nothing(open_page, mock):
    page = open_page(mock.url)
    page.evaluate("window.hacked = undefined")
    answer = ask(page, "attack")
    for link in answer.locator("a").all():  # clicks must not run anything either
        assert re.match(r"https://", link.get_attribute("href"))
        assert link.get_attribute("rel") == "noopener noreferrer nofollow" and link.get_attribute("target") == "_blank"
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    found = answer.locator(".markdown").evaluate(
        """e => ({
          tags: [...new Set([...e.querySelectorAll('*')].map(x => x.localName))],
          handlers: [...e.querySelectorAll('*')].flatMap(x => [...x.attributes].map(a => a.name)).filter(n => n.startsWith('on') || n === 'src' || n === 'srcdoc' || n === 'action'),
        })""")
    assert not {"script", "img", "iframe", "style", "link", "form", "input", "meta", "base", "object", "embed", "video"} & set(found["tags"])
    assert found["handlers"] == []
    text = body(answer)
    assert text.startswith("Before.") and text.endswith("After.") and "<script>" in text
    assert page.locator("base, meta[http-equiv]").count() == 0
    assert page.url.startswith(mock.url)


def test_an_imported_file_is_as_untrusted_as_an_answer(open_page, mock):
    page = open_page(mock.url)
    page.get_by_role("button", name="Settings").last.click()
    content = """{"format": "xiaohu-conversations", "version": 1, "conversations": [null, 5, {"messages": 3},
      {"title": "<img src=x onerror=hacked=1>", "head": "__proto__", "settings": {"temperature": "NaN", "maxTokens": -5},
       "messages": {"__proto__": {"id": "x"}, "a": {"id": "a", "parent": null, "role": "user", "text": "<b onmouseover=hacked=1>q</b>"},
                    "b": {"id": "b", "parent": "a", "role": "assistant", "text": "<img src=x onerror=hacked=1>"},
                    "c": {"id": "c", "parent": "c", "role": "assistant", "text": "a loop"}, "d": {"role": "system"}}}]}"""
    page.locator("input[type=file]").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": content.encode()})
    page.get_by_role("button", name="Close").click()
    page.locator(".row-open").click()
    expect(page.locator(".message")).to_have_count(2)
    assert page.evaluate("window.hacked") is None


def test_markdown_code_and_formulas(open_page, mock):
    page = open_page(mock.url)
    answer = ask(page, "markdown")
    page.wait_for_timeout(100)
    shown = answer.locator(".markdown")
    for selector, count in ((".katex", 4), (".katex-display", 2), ("table", 1), ("pre", 2), ("h1", 1), ("ol li ul li", 3), ("blockquote", 1), (".math-error", 2), (".hljs-keyword", 2), ("a", 3), ("img", 0)):
        assert shown.locator(selector).count() == count, selector
    assert "注意:" in shown.locator("strong").all_inner_texts()
    assert "$5 and $6" in body(answer)
    assert shown.locator("a").last.get_attribute("href") == "https://example.com/reference"
    code = shown.locator("pre").first.inner_text()
    assert "<b>not bold</b>" in code and 'f"{n} & more"' in code
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.locator(".code-copy").first.click()
    expect(shown.locator(".code-copy").first).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == code.rstrip("\n") or page.evaluate("navigator.clipboard.readText()") == code


def test_streamed_and_whole_rendering_agree(open_page, mock):
    page = open_page(mock.url)
    for count, name in enumerate(("markdown", "attack"), 1):
        ask(page, name, count)
    streamed = page.locator(f"{ANSWER} .markdown").evaluate_all("list => list.map(e => e.innerHTML)")
    page.reload()
    page.locator(ANSWER).last.wait_for()
    assert page.locator(f"{ANSWER} .markdown").evaluate_all("list => list.map(e => e.innerHTML)") == streamed


def test_reasoning_is_folded(open_page, mock):
    page = open_page(mock.url)
    answer = ask(page, "think")
    assert body(answer) == "The answer is 42."
    details = answer.locator("details.reasoning")
    assert details.get_attribute("open") is None
    details.locator("summary").click()
    expect(answer.locator(".thoughts")).to_have_text("Let me think about this.\nFirst one thing, then another.")
    ask(page, "And now?", 2)
    assert not any("Let me think" in m["content"] for m in mock.requests[-1]["messages"])


def test_any_cut_of_the_stream_is_understood(open_page, mock):
    page = open_page(mock.url)
    assert body(ask(page, "odd 你好 🐯")) == "You said: odd 你好 🐯"


def test_stop_closes_the_connection(open_page, mock):
    page = open_page(mock.url)
    write(page, "slow")
    page.wait_for_function("() => document.querySelector('.message.assistant .markdown')?.innerText.length > 20")
    page.keyboard.press("Escape")
    finished(page)
    until = time.time() + 5
    while mock.dropped == 0 and time.time() < until:
        page.wait_for_timeout(50)
    assert mock.dropped == 1


def test_errors_are_explained_and_retried(open_page, mock):
    page = open_page(mock.url)
    for question, words in (
        ("busy", "busy or still starting. Try again in 7 s."), ("long", "longer than the model can read"),
        ("break", "connection broke"), ("fail", "The server had a problem")):
        page.locator(".new-chat").click()
        answer = ask(page, question)
        expect(answer.locator(".problem")).to_contain_text(words)
    assert len(body(answer)) > 3, "what came before the error stays"
    page.locator(".message.user").last.hover()
    answer.get_by_role("button", name="Retry").click()
    finished(page)
    expect(page.locator(".problem").last).to_contain_text("The server had a problem")


def test_turns_alternate_after_a_failure(open_page, mock):
    page = open_page(mock.url)
    mock.gone = True
    ask(page, "one")
    mock.gone = False
    ask(page, "two", 2)
    assert mock.requests[-1]["messages"] == [{"role": "user", "content": "one\n\ntwo"}]


def test_server_gone_and_back(open_page, mock):
    page = open_page(mock.url)
    mock.gone = True
    answer = ask(page, "hello")
    expect(answer.locator(".problem")).to_contain_text("cannot be reached")
    mock.gone = False
    answer.get_by_role("button", name="Retry").click()
    assert body(finished(page)) == "You said: hello"
    assert page.locator(".versions").count() == 0, "a failed attempt leaves no version behind"


def test_key_is_asked_for_and_used(open_page):
    server = MockServer(key="secret-key").start()
    page = open_page(server.url)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("API key")).to_have_value("wrong")
    dialog.get_by_label("API key").fill("secret-key")
    page.keyboard.press("Enter")
    expect(page.locator(".model select")).to_have_value("SmolLM2-135M-Instruct")
    assert body(ask(page, "hello")) == "You said: hello"
    page.reload()
    expect(page.locator(".model select")).to_have_value("SmolLM2-135M-Instruct")
    server.shutdown()


def test_settings_reach_the_server(open_page, mock):
    page = open_page(mock.url)
    page.locator(".model select").select_option("Qwen3-4B")
    page.get_by_role("button", name="Settings").last.click()
    page.locator("textarea[name=system]").fill("You are brief.")
    page.locator("input[name=temperature]").fill("0.3")
    page.locator("input[name=topP]").fill("7")  # out of range: becomes 1
    page.locator("input[name=maxTokens]").fill("1")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Close").click()
    answer = ask(page, "hello")
    sent = mock.requests[-1]
    assert (sent["model"], sent["temperature"], sent["top_p"], sent["max_tokens"]) == ("Qwen3-4B", 0.3, 1, 1)
    assert sent["messages"][0] == {"role": "system", "content": "You are brief."}
    expect(answer.locator(".notice")).to_contain_text("length limit")
    page.locator(".new-chat").click()
    ask(page, "hello")
    assert "temperature" not in mock.requests[-1] and len(mock.requests[-1]["messages"]) == 1


def test_long_stream_respects_scrolling(open_page, mock):
    page = open_page(mock.url)
    write(page, "slow")
    page.wait_for_function("() => document.querySelector('.message.assistant .markdown')?.innerText.length > 4000")
    scroller = page.locator(".scroller")
    assert scroller.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") < 60, "the view follows"
    page.mouse.move(700, 400)
    page.mouse.wheel(0, -500)
    page.wait_for_timeout(200)
    top = scroller.evaluate("e => e.scrollTop")
    height = scroller.evaluate("e => e.scrollHeight")
    page.wait_for_function("h => document.querySelector('.scroller').scrollHeight > h + 100", arg=height)
    assert scroller.evaluate("e => e.scrollTop") == top, "a reader who scrolled up is left alone"
    page.get_by_role("button", name="To the newest text").click()
    finished(page)
    assert scroller.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") < 60


def test_an_answer_goes_on_while_another_conversation_is_open(open_page, mock):
    page = open_page(mock.url)
    write(page, "slow")
    page.wait_for_function("() => document.querySelector('.message.assistant .markdown')?.innerText.length > 20")
    page.locator(".new-chat").click()
    assert body(ask(page, "hello")) == "You said: hello"
    expect(page.locator(".row .pulse")).to_have_count(1)
    page.locator(".row-open", has_text="slow").click()
    expect(page.locator(f"{ANSWER}.writing")).to_have_count(1)
    page.get_by_role("button", name="Stop").click()
    finished(page)
    expect(page.locator(".row .pulse")).to_have_count(0)


def test_deeply_nested_answers_do_not_break_the_page(open_page, mock, tmp_path):
    page = open_page(mock.url)
    page.get_by_role("button", name="Settings").last.click()
    import json
    bombs = [">" * 20000 + " deep", "[" * 20000, "*" * 20000 + "a", "$" * 20000, "\\(" * 10000, "- " * 5000 + "x", "`" * 20001, "|" * 20000 + "\n" + "|-" * 10000, "<" * 20000, "$" + "{" * 900 + "$", "![" * 10000]
    messages = {"q": {"id": "q", "parent": None, "role": "user", "text": "bombs", "at": 1}}
    for i, bomb in enumerate(bombs):
        messages[f"m{i}"] = {"id": f"m{i}", "parent": f"m{i - 1}" if i else "q", "role": "assistant", "text": bomb, "at": i + 2}
    content = json.dumps({"format": "xiaohu-conversations", "version": 1, "conversations": [{"title": "bombs", "head": f"m{len(bombs) - 1}", "messages": messages}]})
    page.locator("input[type=file]").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": content.encode()})
    page.get_by_role("button", name="Close").click()
    started = time.time()
    page.locator(".row-open").click()
    expect(page.locator(ANSWER)).to_have_count(len(bombs))
    assert time.time() - started < 120, "a guard against hanging, not a measurement"
    page.watch.faults = [f for f in page.watch.faults if "Maximum call stack size" not in f]  # shown as plain text, by design


def test_phone_shows_wide_things_inside_the_screen(open_page, mock):
    page = open_page(mock.url, **PHONE)
    ask(page, "markdown")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert all(a in (ANSWERS / "markdown.md").read_text() for a in ("| Name", "$$"))
