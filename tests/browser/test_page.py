"""The page with any server: what a person can do with it."""

import json
import re

from playwright.sync_api import expect

from browser import PHONE
from steps import ANSWER, ask, body, finished, write

SHORT = "Say hello in one short sentence."


def limit_answers(page, tokens):
    """Through the settings, as a person would: keeps real models quick."""
    page.get_by_role("button", name="Settings").last.click()
    page.locator("input[name=maxTokens]").fill(str(tokens))
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Use for new conversations too").click()
    page.get_by_role("button", name="Close").click()


def test_sends_a_message_and_reads_the_answer(page):
    limit_answers(page, 40)
    answer = ask(page, SHORT)
    assert len(body(answer)) > 0
    expect(answer.locator(".stats")).to_have_text(re.compile(r"\d+ tokens · .*first after \d+\.\d\d s · \S+"))
    expect(page.locator(".message.user .bubble")).to_have_text(SHORT)
    expect(page.locator(".row-open")).to_have_text([SHORT])
    assert SHORT in page.title()


def test_the_conversation_is_sent_along(page):
    limit_answers(page, 24)
    requests = []
    page.on("request", lambda r: requests.append(json.loads(r.post_data)) if r.url.endswith("/v1/chat/completions") else None)
    first = body(ask(page, SHORT))
    ask(page, "And again, please.", 2)
    assert requests[0]["stream"] is True and requests[0]["stream_options"] == {"include_usage": True} and requests[0]["max_tokens"] == 24
    roles = [m["role"] for m in requests[1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert requests[1]["messages"][0]["content"] == SHORT and len(first) > 0


def test_a_message_sent_before_the_models_are_known_is_answered(page):
    held, free = [], []
    page.route("**/v1/models", lambda route: route.continue_() if free else held.append(route))
    page.reload()
    write(page, SHORT)
    page.wait_for_timeout(200)
    assert held
    free.append(True)
    for route in held:
        route.continue_()
    assert len(body(finished(page))) > 0


def answer_without_end(page):
    """A model may finish before anyone can click: ask the server to go on past the end of the turn. With a seed: of
    360 texts one began with a few characters and 150 tokens that cannot be seen."""
    def go_on(route):
        body_sent = json.loads(route.request.post_data)
        route.continue_(post_data=json.dumps(body_sent | {"ignore_eos": True, "seed": 7}))
    page.route("**/v1/chat/completions", go_on)


def test_stop_keeps_what_was_written(page):
    answer_without_end(page)
    write(page, "Please count slowly from one to a thousand, in words.")
    page.wait_for_function("() => document.querySelector('.message.assistant .markdown')?.innerText.length > 20")
    page.get_by_role("button", name="Stop").click()
    answer = finished(page)
    text = body(answer)
    expect(answer.locator(".stats")).to_contain_text("Stopped")
    page.wait_for_timeout(400)
    assert body(answer) == text and len(text) > 20
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_regenerate_adds_a_version(page):
    limit_answers(page, 24)
    ask(page, SHORT)
    page.get_by_role("button", name="Try again").click()
    finished(page)
    expect(page.locator(f"{ANSWER} .versions span")).to_have_text("2/2")
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator(f"{ANSWER} .versions span")).to_have_text("1/2")
    expect(page.locator(ANSWER)).to_have_count(1)


def test_edit_branches_the_conversation(page):
    limit_answers(page, 24)
    ask(page, SHORT)
    ask(page, "The second question.", 2)
    page.locator(".message.user").first.hover()
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_role("textbox", name="Edit").fill("Another first question.")
    page.keyboard.press("Enter")
    finished(page, 1)
    expect(page.locator(".bubble")).to_have_text(["Another first question."])
    page.get_by_role("button", name="Previous version").first.click()
    expect(page.locator(".bubble")).to_have_text([SHORT, "The second question."])


def test_conversations_survive_a_reload(page):
    limit_answers(page, 24)
    text = body(ask(page, SHORT))
    page.locator(".new-chat").click()
    expect(page.locator(".welcome")).to_be_visible()
    ask(page, "A second conversation.")
    page.reload()
    expect(page.locator(".row-open")).to_have_text(["A second conversation.", SHORT])
    expect(page.locator(".bubble")).to_have_text("A second conversation.")
    page.locator(".row-open", has_text=SHORT).click()
    expect(page.locator(f"{ANSWER} .markdown")).to_have_text(text, use_inner_text=True)


def test_rename_search_and_delete_with_undo(page):
    limit_answers(page, 16)
    ask(page, SHORT)
    page.locator(".new-chat").click()
    ask(page, "Something about rivers.")
    page.locator(".row").last.hover()
    page.locator(".row-more").last.click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Rename").fill("Greetings")
    page.keyboard.press("Enter")
    expect(page.locator(".row-open")).to_have_text(["Something about rivers.", "Greetings"])
    page.get_by_placeholder("Search conversations").fill("RIVERS.")
    expect(page.locator(".row-open")).to_have_text(["Something about rivers."])
    page.get_by_placeholder("Search conversations").fill("")
    page.locator(".row-more").first.click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.locator(".row-open")).to_have_text(["Greetings"])
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".row-open")).to_have_count(2)
    page.reload()
    expect(page.locator(".row-open")).to_have_count(2)


BUSY_DATABASE = """() => new Promise((held) => {
  const open = indexedDB.open("xiaohu", 1);
  open.onsuccess = () => {
    const store = open.result.transaction("conversations", "readwrite").objectStore("conversations");
    const again = () => { store.count().onsuccess = () => window.free || again(); };
    again();
    held();
  };
})"""


def test_what_was_done_last_survives_a_reload_at_once(page, base_url):
    """A browser drops transactions that did not end before their page went away; another tab makes them wait here."""
    limit_answers(page, 16)
    ask(page, SHORT)
    other = page.context.new_page()
    other.goto(base_url)
    page.bring_to_front()
    for menu, after in (("Rename", ["Greetings"]), ("Delete", [])):
        page.locator(".row").hover()
        page.locator(".row-more").click()
        page.get_by_role("menuitem", name=menu).click()
        other.evaluate(BUSY_DATABASE)
        if menu == "Rename":
            page.get_by_label("Rename").fill("Greetings")
            page.keyboard.press("Enter")
        page.reload()
        other.evaluate("free = true")
        expect(page.locator("#message")).to_be_visible()
        expect(page.locator(".row-open")).to_have_text(after)
        other.evaluate("free = false")
    assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('unsaved'))") == []


def test_export_and_import(page, tmp_path):
    limit_answers(page, 16)
    text = body(ask(page, SHORT))
    page.get_by_role("button", name="Settings").last.click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export all").click()
    file = tmp_path / "all.json"
    saved.value.save_as(file)
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator(".toast")).to_contain_text("1 conversations imported")
    page.locator("input[type=file]").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b'{"format": "other"}'})
    expect(page.locator(".toast")).to_contain_text("no conversations")
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".row-open")).to_have_text([SHORT, SHORT])
    page.locator(".row-open").last.click()
    expect(page.locator(f"{ANSWER} .markdown")).to_have_text(text, use_inner_text=True)


def test_language_follows_the_browser_and_the_switch(open_page, base_url):
    for locale, words, tag in (("zh-CN", "有什么可以帮您？", "zh-Hans"), ("zh-TW", "有什麼可以幫您？", "zh-Hant"), ("zh-HK", "有什麼可以幫您？", "zh-Hant"), ("fr-FR", "How can I help?", "en")):
        page = open_page(base_url, locale=locale)
        expect(page.locator("h1")).to_have_text(words)
        assert page.evaluate("document.documentElement.lang") == tag
    page.get_by_role("button", name="Settings").last.click()
    page.locator("dialog label", has_text="繁體中文").click()
    expect(page.locator("h1")).to_have_text("有什麼可以幫您？")
    page.reload()
    expect(page.locator(".new-chat")).to_have_text("新對話")


def test_every_word_is_translated(open_page, base_url):
    page = open_page(base_url, locale="zh-CN")
    page.get_by_role("button", name="设置").last.click()
    latin = page.evaluate("[...document.body.innerText.matchAll(/[A-Za-z][A-Za-z-]{3,}/g)].map(m => m[0])")
    known = {"xiaohu", "English", "Python", "token", "Top-p"} | set(re.findall(r"[A-Za-z-]{4,}", page.locator(".model select").inner_text()))
    assert set(latin) <= known


def test_dark_mode(open_page, base_url):
    page = open_page(base_url, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(27, 25, 23)"
    page.get_by_role("button", name="Appearance").click()
    assert page.evaluate(ground) == "rgb(252, 250, 246)"
    page.reload()
    assert page.evaluate(ground) == "rgb(252, 250, 246)"


def test_phone(open_page, base_url):
    page = open_page(base_url, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.locator(".sidebar")).not_to_be_in_viewport()
    page.get_by_role("button", name="Show conversations").tap()
    expect(page.locator(".new-chat")).to_be_in_viewport()
    page.locator(".new-chat").tap()
    expect(page.locator(".sidebar")).not_to_be_in_viewport()
    limit_answers(page, 24)
    page.locator("#message").fill("Hi")
    page.get_by_role("button", name="Send").tap()
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_enter_while_composing_does_not_send(page):
    box = page.locator("#message")
    box.fill("ni hao")
    for event in ({"key": "Enter", "isComposing": True}, {"key": "Enter", "keyCode": 229}):
        box.evaluate("(e, init) => e.dispatchEvent(new KeyboardEvent('keydown', {...init, bubbles: true, cancelable: true}))", event)
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.wait_for_timeout(200)
    assert page.locator(".message").count() == 0 and box.input_value() == "ni hao\ntwo"


def test_names_and_focus_for_assistive_technology(page):
    for control in page.locator("button:visible, input:visible, textarea:visible, select:visible").all():
        name = control.evaluate("e => e.ariaLabel || e.innerText || e.labels?.[0]?.innerText || ''")
        assert name.strip(), control.evaluate("e => e.outerHTML")
    log = page.get_by_role("log")
    assert log.get_attribute("aria-live") == "polite"
    page.locator(".new-chat").focus()
    for _ in range(5):
        page.keyboard.press("Tab")
        marked = page.evaluate("() => { const e = document.activeElement, s = getComputedStyle(e.closest('.search') ?? e); return s.outlineStyle !== 'none' || s.borderTopColor !== 'rgba(0, 0, 0, 0)' }")
        assert marked, page.evaluate("document.activeElement.outerHTML")
