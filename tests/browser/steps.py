"""What a person does with the page."""

ANSWER = ".message.assistant"


def write(page, text):
    page.locator("#message").fill(text)
    page.keyboard.press("Enter")


def finished(page, count=1):
    """Waits until the last of `count` answers is complete; returns it."""
    page.wait_for_function(
        "n => document.querySelectorAll('.message.assistant').length === n && !document.querySelector('.message.assistant.writing')", arg=count)
    return page.locator(ANSWER).last


def ask(page, text, count=1):
    write(page, text)
    return finished(page, count)


def body(answer):
    return answer.locator(".markdown").inner_text()
