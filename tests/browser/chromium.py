"""A headless Chromium driven by its DevTools protocol: enough of it to open a page, measure it and take its picture."""

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


def found():
    """Path of a browser on this machine, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab."""

    def __init__(self, socket):
        self._socket = socket
        self._number = 0
        self.complaints = []

    async def call(self, method, **parameters):
        """Call a method of the protocol and return its result; what the page complains of meanwhile is kept."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = json.loads(await self._socket.receive_str(timeout=60))
            if answer.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
                self.complaints.append(answer["params"])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    async def open(self, url, *, width=1280, height=1400, dark=False, zone="Asia/Singapore"):
        """Load a page as a screen of this size, in this colour scheme and time zone, shows it."""
        await self.call("Runtime.enable")
        await self.call("Log.enable")
        await self.call("Page.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Emulation.setTimezoneOverride", timezoneId=zone)
        await self.call("Page.navigate", url=url)

    async def value(self, expression):
        """What a JavaScript expression gives."""
        told = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression, seconds=60):
        """Wait until an expression is true."""
        async with asyncio.timeout(seconds):
            while not await self.value(expression):  # noqa: ASYNC110 - the page signals nothing
                await asyncio.sleep(0.05)

    async def picture(self):
        """What the tab shows, as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])


@contextlib.contextmanager
def browser(program):
    """The port of a running browser; it and its profile are gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        with (Path(profile) / "log").open("w+b") as log:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
            try:
                # It picks the port and writes it down when it listens.
                chosen = Path(profile) / "DevToolsActivePort"
                give_up = time.monotonic() + 120
                while not (chosen.is_file() and chosen.read_text().strip()):
                    assert process.poll() is None, "the browser ended at once"
                    assert time.monotonic() < give_up, "the browser does not answer"
                    time.sleep(0.1)
                yield int(chosen.read_text().split()[0])
            finally:
                process.terminate()
                process.wait()


@contextlib.asynccontextmanager
async def tab(port):
    """A new tab of the browser."""
    root = f"http://127.0.0.1:{port}/json"
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{root}/new?about:blank") as reply:
            told = await reply.json(content_type=None)
        async with session.ws_connect(told["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            yield Page(socket)
        async with session.get(f"{root}/close/{told['id']}"):
            pass
