"""The console in a real browser: what a person sees, at any width, and that nothing a feed sends is run."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from chromium import browser, found, tab

from adapters.clock import WallClock
from adapters.http.server import HttpServer
from adapters.http.watching import Watching
from adapters.kafka.agents import StageHealth
from adapters.observability.metrics import Metrics
from engine.errors import NotHl7Error
from engine.records import Publication, Record
from engine.settings import Kafka, Settings
from engine.stages import dead

NO_BROWSER = "no Chromium on the PATH: the console page was NOT tested (apt-get install chromium)"
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
NOW = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def port():
    """One browser for all tests here."""
    program = found()
    if program is None:
        if os.environ.get("WARDSTREAM_REQUIRE_BROWSER") == "1":
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    with browser(program) as port:
        yield port


class Log:
    """A publisher that keeps what it gets in memory."""

    def __init__(self):
        self.kept: list[Publication] = []

    async def publish(self, publications: list[Publication]) -> None:
        self.kept += publications


class Running:
    """A run with one stage."""

    def health(self):
        return [StageHealth("ingest-hl7v2", (0, 1, 2), 4, 0.25, rebalancing=False)]


def outcome(number, *, control_id="KGH-1", at=NOW):
    body = (
        '{"source": {"message_type": "ADT^A01", "control_id": %s}, "outcome": "accepted", "feed": "wards", '
        '"unmapped": [], "issues": [{"code": "code-unknown", "location": "PV1[1]-10"}], "notes": [], "resources": ["a"]}'
    )
    value = (body % json.dumps(control_id)).encode()
    return Record("outcomes", 0, number, b"k", value, {}, at)


def letter(number, reason):
    sent = dead.of_payload(
        b"x", {"feed": "wards"}, NotHl7Error(reason, action=HOSTILE), key="wards", stage="mllp"
    )
    return Record("dead.letters", 0, number, b"k", sent.value, sent.headers, NOW)


class Console:
    """The server with what it would have read from Kafka."""

    def __init__(self, *, running=True):
        settings = Settings(kafka=Kafka(brokers="127.0.0.1:9", embedded=True))
        self.watching = Watching(settings.kafka)
        self.log = Log()
        self._server = HttpServer(settings, self.log, WallClock(), Metrics(), self.watching)
        if running:
            self._server.watch(Running())

    async def __aenter__(self):
        self._runner = web.AppRunner(self._server.application())
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    def take(self, *records):
        for record in records:
            self.watching._take(record)


LIVE = "document.getElementById('state')?.textContent === 'live'"
TEXT = "document.body.innerText"


async def test_nothing_that_a_feed_sends_is_run_or_read_as_markup(port):
    """Control ids and reasons are shown as the text they are; no image is loaded, no handler runs."""
    async with Console() as console, tab(port) as page:
        console.take(outcome(0, control_id=HOSTILE), letter(0, HOSTILE))
        await page.open(console.url)
        await page.until(LIVE)
        assert await page.value("document.title") == "Wardstream console"
        assert await page.value("document.querySelectorAll('td img, td script, main img').length") == 0
        cells = await page.value("[...document.querySelectorAll('td')].map(td => td.textContent)")
        assert cells.count(HOSTILE) == 3
        assert page.complaints == []


@pytest.mark.parametrize("width", [360, 768, 1280])
async def test_no_width_makes_the_page_scroll_sideways(port, width):
    """On a phone or beside another window tables scroll within their boxes; the page itself does not."""
    async with Console() as console, tab(port) as page:
        console.take(*(outcome(n, control_id="X" * 199) for n in range(30)), letter(0, "word " * 60))
        await page.open(console.url, width=width)
        await page.until(LIVE)
        assert await page.value("document.documentElement.scrollWidth") <= width
        assert await page.value("document.querySelector('#outcomes table').rows.length") == 31


async def test_an_engine_that_has_seen_nothing_says_so(port):
    """Empty boxes tell what would be there and how to get it there."""
    async with Console(running=False) as console, tab(port) as page:
        await page.open(console.url)
        await page.until(LIVE)
        text = await page.value(TEXT)
    for words in (
        "runs no stages",
        "No message yet",
        "No dead letters",
        "No drift seen",
        "nothing here survives",
    ):
        assert words in text


async def test_times_are_in_the_zone_that_is_named(port):
    """04:00 UTC is noon in Singapore; an older record shows its day too."""
    async with Console() as console, tab(port) as page:
        today = datetime.now(UTC)
        console.take(outcome(0, at=today), outcome(1, at=NOW))
        await page.open(console.url, zone="Asia/Singapore")
        await page.until(LIVE)
        times = await page.value(
            "[...document.querySelectorAll('#outcomes td:first-child')].map(td => td.textContent)"
        )
        assert times[0] == "5 Jan 12:00:00"
        assert times[1] == (today + timedelta(hours=8)).strftime("%H:%M:%S")
        assert "Asia/Singapore" in await page.value(TEXT)


async def test_what_is_being_read_stays_in_place_and_what_is_new_appears(port):
    """The page looks for news every two seconds; nobody is thrown back to the top of a table meanwhile."""
    async with Console() as console, tab(port) as page:
        console.take(*(outcome(n) for n in range(40)))
        await page.open(console.url)
        await page.until(LIVE)
        await page.value("document.getElementById('outcomes').scrollTop = 200")
        console.take(outcome(40, control_id="FRESH"))
        await page.until("document.getElementById('outcomes').textContent.includes('FRESH')")
        assert await page.value("document.getElementById('outcomes').scrollTop") == 200


async def test_an_engine_that_is_gone_is_told(port):
    """Old figures must not look like current ones."""
    async with tab(port) as page:
        async with Console() as console:
            await page.open(console.url)
            await page.until(LIVE)
        await page.until("document.getElementById('state').textContent.includes('no answer')")


@pytest.mark.parametrize("dark", [False, True])
async def test_text_can_be_read_in_both_schemes(port, dark):
    """Contrast of 4.5 and more (WCAG 2.1, 1.4.3) of every colour that text has on what it stands on."""
    contrast = """(() => {
      const light = (rgb) => { const [r, g, b] = rgb.match(/\\d+/g).map(v => { v /= 255;
        return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
      const behind = (e) => { while (e) { const c = getComputedStyle(e).backgroundColor;
        if (!c.startsWith('rgba(0, 0, 0, 0')) return c; e = e.parentElement; } return 'rgb(255, 255, 255)'; };
      return Math.min(...[...document.querySelectorAll('h1, h2, th, td, span, p, b, code, label, input, select, button')].filter(e => e.innerText.trim())
        .map(e => { const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
          return (a + .05) / (b + .05); }));
    })()"""
    async with Console() as console, tab(port) as page:
        console.take(outcome(0), letter(0, "no"))
        await page.open(console.url, dark=dark)
        await page.until(LIVE)
        assert await page.value("getComputedStyle(document.body).backgroundColor") == (
            "rgb(17, 23, 28)" if dark else "rgb(247, 248, 249)"
        )
        assert await page.value(contrast) >= 4.5


FILL = """(fields => { const form = document.getElementById('flag');
  for (const [name, value] of Object.entries(fields)) { form.elements[name].value = value;
    form.elements[name].dispatchEvent(new Event('change')); }
  form.requestSubmit(); })(%s)"""
SAID = "document.getElementById('flagged').textContent"
NOTE = "0b0f7c1e-2f4d-5a61-9a0e-3c9b7a2d1e4f"


async def test_a_finding_can_be_flagged(port):
    """What is typed in comes out as the flag and the count of the drift monitor; the page says that it is safe."""
    fields = {
        "note_id": f"urn:uuid:{NOTE}", "start": "10", "end": "15", "label": "PROBLEM", "verdict": "changed",
        "model": "m@1", "user": "dr.lim", "correct.assertion": "family", "correct.end": "18",
    }  # fmt: skip
    async with Console() as console, tab(port) as page:
        await page.open(console.url, height=1800)
        await page.until(LIVE)
        assert await page.value("document.getElementById('correct').hidden")
        await page.value(FILL % json.dumps(fields))
        await page.until(f"{SAID}.includes('The flag is safe')")
        assert not await page.value("document.getElementById('correct').hidden")
        if folder := os.environ.get("WARDSTREAM_PICTURES"):
            (Path(folder) / "flag.png").write_bytes(await page.picture())
        flag, counted = (json.loads(record.value) for record in console.log.kept)
        assert page.complaints == []
    assert (flag["note_id"], flag["user"], flag["verdict"]) == (NOTE, "dr.lim", "changed")
    assert flag["was"] == {"start": 10, "end": 15, "label": "PROBLEM"}
    assert flag["should"] == {"start": 10, "end": 18, "label": "PROBLEM", "assertion": "family"}
    assert (counted["kind"], counted["model"]) == ("flag", "m@1")


async def test_a_flag_that_is_wrong_says_which_field(port):
    """Nothing is kept, and nothing that was typed in is lost."""
    async with Console() as console, tab(port) as page:
        await page.open(console.url, width=360, height=2600)
        await page.until(LIVE)
        await page.value(FILL % json.dumps({"note_id": "Tan Ah Kow", "start": "1", "end": "5", "user": "x"}))
        await page.until(f"{SAID}.includes('note_id')")
        assert "Tan Ah Kow" not in await page.value(SAID)
        assert await page.value("document.getElementById('flag').elements['note_id'].value") == "Tan Ah Kow"
        assert await page.value("document.documentElement.scrollWidth") <= 360
        if folder := os.environ.get("WARDSTREAM_PICTURES"):
            (Path(folder) / "flag-narrow.png").write_bytes(await page.picture())
        assert console.log.kept == []


async def test_records_read_again_after_an_outage_are_not_counted_again():
    """The console reconnects and reads a little of what it has read: the figures stay true. (Needs no browser.)"""
    async with Console() as console:
        for _ in range(2):
            console.take(outcome(0), outcome(1), letter(0, "no"))
        assert +console.watching.counts == {"accepted": 2, "dead letters": 1, "refused": 1}
