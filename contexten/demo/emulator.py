"""The GitHub emulator as a part of the running stack."""

import os
import sys
from pathlib import Path

from contexten.demo.projects import report_to
from contexten_core.db import Database
from deployments.child import Child
from deployments.home import Home
from deployments.stack import Stack

_USUAL_PORT = 8080
_HOST = "127.0.0.1"
NAME = "github_emulator"


async def start_demo_emulator(stack: Stack, database: Database) -> str:
    """Start the emulator beside the stack's other parts, and have the demo's projects report to it. Returns its URL."""
    port = stack.ports.take(_USUAL_PORT, _HOST)
    child = Child(
        name="github-emulator",
        argv=(sys.executable, "-m", "contexten.emulators.github", "--host", _HOST, "--port", str(port)),
        env=dict(os.environ),
        cwd=Path.cwd(),
        log=Home(stack.settings.home.absolute()).log("github-emulator"),
    )
    report = await stack.supervisor.start(child)
    url = str(report[child.name]["url"])
    stack.announce(NAME, url)
    await report_to(database, url)
    return url
