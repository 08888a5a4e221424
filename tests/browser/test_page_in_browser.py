"""The page in a real browser: needs chromium, and the package playwright without its own."""

from __future__ import annotations

import pytest

from tests.browser.example_data import SCRIPT, case, many, nasty, session, simple_run

ALL = "8 of 8 tests, 210 of 210 runs"


def visible_tests(page):
    """Names of the tests that are shown."""
    texts = page.locator(".t > summary .q").all()
    return [each.inner_text().partition("::")[2] for each in texts if each.is_visible()]


def test_opens_alone(opened):
    """The page opens without an error, and asks for nothing but itself."""
    with opened(session()) as seen:
        assert seen.page.title() == "Shop: task progress"
        assert seen.shown == ALL
        assert seen.errors == []
        assert [each.partition(":")[0] for each in seen.requests] == ["file"]


def test_text_of_what_failed_is_seen(opened):
    """Without a click one reads the summary, the failed test, its run and its findings."""
    with opened(session()) as seen:
        text = seen.page.inner_text("body")
    for expected in (
        "11,790",
        "CheckFailed: the run ended in FAILURE",
        "PROGRESS was written after SUCCESS",
        "upload_image",
        "OSError: image-3.png is truncated",
        "Drawn in the order of writes; no time passed.",
        "UPLOADING → SUCCESS",
        "9 of 39 steps",
    ):
        assert expected in text
    assert "ConnectionError" not in text  # in a test that is closed


def test_search_by_keyboard(opened):
    """A slash leads to the search, what is typed is found, Escape shows everything again."""
    with opened(session()) as seen:
        keyboard = seen.page.keyboard
        keyboard.press("/")
        keyboard.type("connectionerror RETRY")
        seen.page.get_by_text("1 of 8 tests, 1 of 210 runs").wait_for()
        assert visible_tests(seen.page) == ["test_retries_while_the_network_is_down"]
        assert seen.page.get_by_text("ConnectionError: prices.example").first.is_visible()
        keyboard.press("Escape")
        assert seen.shown == ALL
        assert not seen.page.get_by_text("ConnectionError: prices.example").first.is_visible()


def test_search_in_the_name_of_a_test(opened):
    """A word of a test's name, or of its file, finds all of its runs."""
    with opened(session()) as seen:
        seen.page.fill("#words", "shop.py any_file")
        seen.page.keyboard.press("Enter")
        assert seen.shown == "1 of 8 tests, 204 of 210 runs"
        seen.page.fill("#words", "any_file 16.67")
        seen.page.keyboard.press("Enter")
        assert seen.shown == "1 of 8 tests, 36 of 210 runs"


def test_filter_by_keyboard(opened):
    """Tab leads to the filters, Space switches them; several of a kind add, kinds narrow."""
    with opened(session()) as seen:
        keyboard = seen.page.keyboard
        keyboard.press("/")
        keyboard.press("Tab")
        keyboard.press("Space")
        assert visible_tests(seen.page) == ["test_book_is_bound"]
        keyboard.press("Tab")
        keyboard.press("Tab")
        keyboard.press("Space")
        assert visible_tests(seen.page) == ["test_book_is_bound", "test_closes_the_shop"]
        keyboard.press("Tab")
        keyboard.press("Tab")
        keyboard.press("Space")
        assert seen.shown == "1 of 8 tests, 1 of 210 runs"


def test_filters(opened):
    """Each filter leaves what it names."""
    with opened(session()) as seen:
        for label, shown in {
            "ABORTED": "1 of 8 tests, 1 of 210 runs",
            "SUCCESS": "5 of 8 tests, 208 of 210 runs",
            "findings": "2 of 8 tests, 2 of 210 runs",
            "aborts": "1 of 8 tests, 1 of 210 runs",
            "retries": "1 of 8 tests, 1 of 210 runs",
            "events of a scenario": "2 of 8 tests, 2 of 210 runs",
            "skipped": "1 of 8 tests, 0 of 210 runs",
        }.items():
            box = seen.page.get_by_role("checkbox", name=label)
            box.check(force=True)
            assert seen.shown == shown, label
            box.uncheck(force=True)


def test_nothing_matches(opened):
    """A search without a result says so, and offers the way back."""
    with opened(session()) as seen:
        seen.page.fill("#words", "no such thing")
        seen.page.get_by_role("button", name="Show everything").click()
        assert seen.shown == ALL


def test_tests_open_and_close_by_keyboard(opened):
    """Enter opens a test and closes it; two buttons do it for all."""
    with opened(session()) as seen:
        page = seen.page
        message = page.get_by_text("Aborted at 5 of 8")
        page.locator("summary", has_text="test_stops_when_aborted").focus()
        page.keyboard.press("Enter")
        assert message.is_visible()
        page.keyboard.press("Enter")
        assert not message.is_visible()
        page.get_by_role("button", name="Open all shown").click()
        assert message.is_visible()
        page.get_by_role("button", name="Close all").click()
        assert page.locator("#all details[open]").count() == 0


def test_link_leads_to_a_run(opened):
    """A link to a run opens it, also if a filter had hidden it."""
    with opened(session()) as seen:
        seen.page.fill("#words", "test_stops_when_aborted")
        seen.page.keyboard.press("Enter")
        seen.page.locator("section a", has_text="shop.tasks.count_stock").click()
        seen.page.get_by_text("Shelf 160").wait_for()
        assert seen.shown == ALL


def test_skip_link_is_first(opened):
    """The first stop of the keyboard leads past the summary."""
    with opened(session()) as seen:
        seen.page.keyboard.press("Tab")
        assert seen.page.evaluate("document.activeElement.textContent") == "Skip to the tests"
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.activeElement.id") == "tests"


def test_script_of_a_task_stays_text(opened):
    """A message that is a script is read, and not run."""
    with opened({"tests": [case("a", simple_run(message=SCRIPT), outcome="failed")]}) as seen:
        assert seen.page.get_by_text(SCRIPT).first.is_visible()
        assert seen.errors == []


@pytest.mark.parametrize("text", ["</script>" + SCRIPT, "\"'><img src=x onerror=alert(1)>"])
def test_scripts_everywhere_stay_text(opened, text):
    """So does what closes the element or the attribute that it is in; filters still work."""
    with opened(nasty(text)) as seen:
        seen.page.get_by_role("button", name="Open all shown").click()
        seen.page.locator("input[type=checkbox]").first.check(force=True)
        assert seen.shown == "1 of 1 tests, 1 of 1 runs"
        assert seen.page.locator("img").count() == 0
        assert seen.errors == []
        assert len(seen.requests) == 1


def test_policy_forbids_other_scripts(opened):
    """If a script did come into the page, the page's own policy would not let it run."""
    with opened(session()) as seen:
        seen.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'),"
            " {textContent: 'alert(1)'}))"
        )
        assert len(seen.errors) == 1
        assert "Content Security Policy" in seen.errors[0]


def test_without_a_script(opened):
    """With JavaScript off all can be read and opened; what would not work is not there."""
    with opened(session(), java_script_enabled=False) as seen:
        page = seen.page
        assert not page.locator("#find").is_visible()
        assert not page.locator("#theme").is_visible()
        assert page.get_by_text("OSError: image-3.png is truncated").first.is_visible()
        message = page.get_by_text("Aborted at 5 of 8")
        assert not message.is_visible()
        page.locator("summary", has_text="test_stops_when_aborted").click()
        assert message.is_visible()


def test_light_and_dark(opened, tmp_path):
    """The page is light or dark as the system is, or as the button says; and it is not blank."""
    with opened(session(), color_scheme="light") as seen:
        light = seen.picture(tmp_path / "light.png")
        seen.page.emulate_media(color_scheme="dark")
        dark = seen.picture(tmp_path / "dark.png")
        button = seen.page.get_by_role("button", name="Dark", pressed=True)
        button.click()
        lit = seen.picture(tmp_path / "lit.png", full_page=True)
        height = seen.page.evaluate("document.documentElement.scrollHeight")
    assert [(each["width"], each["height"]) for each in (light, dark)] == [(1200, 900)] * 2
    assert (lit["width"], lit["height"]) == (1200, height)
    assert height > 2_000
    assert min(each["colours"] for each in (light, dark)) > 100
    assert light["light"] > 200
    assert dark["light"] < 60
    assert lit["light"] > 200


@pytest.mark.parametrize("data", [session(), nasty("x" * 100_000)], ids=["usual", "long words"])
def test_narrow(opened, data):
    """On a telephone nothing is wider than the screen."""
    with opened(data, viewport={"width": 360, "height": 740}) as seen:
        seen.page.get_by_role("button", name="Open all shown").click()
        assert seen.page.evaluate("document.documentElement.scrollWidth") == 360


def test_drawing_fills_its_lane(opened):
    """The bars of a task are drawn, in their colours, over the width of the lane."""
    with opened(session()) as seen:
        lane = seen.page.locator(".t[open] .l li").first
        chart, done = lane.locator(".z").bounding_box(), lane.locator("path.s").bounding_box()
        assert chart["width"] > 400
        assert chart["x"] < done["x"] < chart["x"] + chart["width"]
        colours = lane.locator("path").evaluate_all(
            "(all) => new Set(all.map((each) => getComputedStyle(each).stroke)).size"
        )
        assert colours == 3


def test_print(opened):
    """On paper everything is open, light, and there are no controls."""
    with opened(session(), color_scheme="dark") as seen:
        seen.page.emulate_media(media="print")
        assert not seen.page.locator("#find").is_visible()
        assert not seen.page.locator("#theme").is_visible()
        assert seen.page.get_by_text("Aborted at 5 of 8").is_visible()
        assert seen.page.get_by_text("Aborted at 5 of 8").bounding_box()["height"] > 5
        assert seen.page.evaluate("getComputedStyle(document.body).color") == "rgb(30, 34, 42)"
        assert seen.page.pdf().startswith(b"%PDF")


def test_large_session_filters(opened):
    """1,000 runs, each in detail, are searched in one go."""
    with opened(many(4, 250)) as seen:
        seen.page.fill("#words", "file 3-24")
        seen.page.keyboard.press("Enter")
        assert seen.shown == "1 of 4 tests, 11 of 1,000 runs"
        assert seen.errors == []
