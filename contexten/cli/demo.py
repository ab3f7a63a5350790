"""The demo, on the stack that runs."""

import asyncio

import typer

from contexten.cli.output import AsJson, err, failures_explained, out, print_json
from contexten.demo.emulator import NAME as EMULATOR
from contexten.demo.play import play
from contexten.demo.projects import report_to
from contexten.emulators.github import run_emulator
from contexten_core.errors import StackError
from contexten_core.runtime import Runtime, open_runtime
from contexten_core.settings import get_settings
from deployments.attach import attached, running_state


def demo(as_json: AsJson = False) -> None:
    """Play the demo on the running stack; the exit code is 0 only if everything came of it that has to."""

    async def main() -> bool:
        settings = attached(get_settings())
        state = running_state(settings)
        if state is None:
            raise StackError("no stack runs here", hint="`contexten serve --once` starts one, plays the demo and ends")
        async with open_runtime(settings) as runtime:
            if EMULATOR in state.urls:
                return await play(runtime, state.urls, console)
            async with run_emulator() as emulator:
                return await _play_with(runtime, {**state.urls, EMULATOR: emulator.url})

    async def _play_with(runtime: Runtime, urls: dict[str, str]) -> bool:
        await report_to(runtime.database, urls[EMULATOR])
        return await play(runtime, urls, console)

    console = err if as_json else out
    with failures_explained(as_json=as_json):
        succeeded = asyncio.run(main())
        if as_json:
            print_json({"succeeded": succeeded})
        raise typer.Exit(0 if succeeded else 1)
