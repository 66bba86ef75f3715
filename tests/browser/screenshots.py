"""Pictures of the page to look at: three languages, desktop and phone, light and dark, and the other views.

    python3 tests/browser/screenshots.py FOLDER [URL]              of the server at URL, or of a sample with five earlier talks
    python3 tests/browser/screenshots.py --picture FILE.png [URL]   one picture, of the server at URL or of a sample
"""

import argparse
from pathlib import Path

from browser import DESKTOP, PHONE, chromium
from mock_server import MockServer

TALK = {
    "en": ("en-US", "demo", "How does a hash table work? Please show me a small example.", ["Plan for the Berlin workshop", "Invoice reminder, second try", "Why does my SQL query scan the whole table?", "Names for a library of small kernels", "Summary of the safety report"]),
    "zh-Hans": ("zh-CN", "demo_zh", "哈希表是怎么工作的？请举一个小例子。", ["杭州出差行程安排", "合同付款条款的说明", "为什么这条 SQL 会全表扫描？", "周报：模型上线进度", "给供应商的催货邮件"]),
    "zh-Hant": ("zh-TW", "demo_zh_hant", "雜湊表是怎麼運作的？請舉一個小例子。", ["臺南出差行程安排", "合約付款條款的說明", "為什麼這條 SQL 會掃描整張表？", "週報：模型上線進度", "給供應商的催貨信"]),
}

QUICK = "What is the capital of France? Answer in one short sentence."  # even the smallest model can


def ask(page, text):
    page.locator("#message").fill(text)
    page.keyboard.press("Enter")
    page.locator(".message.assistant .stats").last.wait_for(timeout=180000)


def main(folder, url=None):
    folder.mkdir(parents=True, exist_ok=True)
    server = MockServer(delay=0.3).start()
    with chromium() as browser:
        for language, (locale, answer, question, others) in TALK.items():
            for name, device in (("desktop", DESKTOP), ("phone", PHONE)):
                for theme in ("light", "dark"):
                    context = browser.new_context(locale=locale, color_scheme=theme, **device)
                    page = context.new_page()
                    page.goto(url or server.url)
                    page.locator(".welcome").wait_for()
                    page.wait_for_timeout(300)
                    label = f"{language}-{name}-{theme}"
                    page.screenshot(path=folder / f"{label}-0-welcome.png")
                    server.answer = None
                    for other in [] if url else others:
                        ask(page, other)
                        page.locator(".new-small").evaluate("e => e.click()")
                    server.answer = answer
                    ask(page, QUICK if url else question)
                    page.wait_for_timeout(200)
                    page.screenshot(path=folder / f"{label}-1-end.png")
                    page.locator(".scroller").evaluate("e => e.scrollTop = 0")
                    page.wait_for_timeout(200)
                    page.screenshot(path=folder / f"{label}-2-chat.png")
                    if name == "phone":
                        page.locator(".bar .icon-button").first.click()
                        page.wait_for_timeout(400)
                        page.screenshot(path=folder / f"{label}-3-list.png")
                        page.locator(".sidebar-foot").click()
                    else:
                        page.locator(".bar .icon-button").last.click()
                    page.wait_for_timeout(400)
                    page.screenshot(path=folder / f"{label}-4-settings.png")
                    context.close()


def picture(file, url):
    server = MockServer(models=["sample-model"]).start()
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 780}, device_scale_factor=1.5, locale="en-US", color_scheme="light")
        page.goto(url or server.url)
        for other in [] if url else TALK["en"][3]:
            ask(page, other)
            page.locator(".new-small").evaluate("e => e.click()")
        server.answer = "demo"
        ask(page, TALK["en"][2])
        page.locator(".scroller").evaluate("e => e.scrollTop = 0")
        page.wait_for_timeout(300)
        page.screenshot(path=file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true", help="one picture, into FILE.png")
    parser.add_argument("place", type=Path, metavar="FOLDER|FILE.png")
    parser.add_argument("url", nargs="?", metavar="URL")
    arguments = parser.parse_args()
    (picture if arguments.picture else main)(arguments.place, arguments.url)
