"""`make demo`: train on the sample dataset, publish, serve, and show recommendations over HTTP; then serve on."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from recsys.environment import Environment
from recsys.errors import SettingsError, TandemError
from recsys.process.command_exit import interruptible_imports, required_packages

with required_packages(), interruptible_imports():
    import httpx
    from rich.console import Console
    from rich.table import Table

    from flows.cli.prefect_api import bypass_proxy
    from recsys.process.parent_death import preexec, tie_to_parent
    from recsys.store.from_environment import open_store
    from tandem_client import Client, ClientError
    from tandem_client.answers import RecommendResponse
    from training.read import dataset

DATA = Path("data/movietweetings")
START_SECONDS = 120
SHOWN = 8
HEADER = "-H 'content-type: application/json'"

console = Console()


class Stopped(Exception):
    """A signal ended the demo."""


def main() -> int:
    """Run the demo. Exit codes: 0 done, 1 failed with a sentence, 130 stopped before the end of the story."""
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    once = parser.parse_args().once
    tie_to_parent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        return _run(once)
    except (TandemError, ClientError) as error:
        console.print(f"tandem: {error}", style="bold red", highlight=False)
        return 1
    except Stopped:
        console.print("\nstopped")
        return 130


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def _run(once: bool) -> int:
    bypass_proxy()
    url = f"http://127.0.0.1:{os.environ.get('PORT', '3000')}"
    started = time.monotonic()
    with open_store(Environment.read()):
        _finish("service", "check")
        console.rule("[bold]1  train on 100,000 film ratings, evaluate, publish")
        _finish("flows", "run", "--data", str(DATA), "--config", "small")
        console.rule("[bold]2  serve")
        with _child("service", "serve") as service:
            _wait_until_ready(url, service)
            console.rule("[bold]3  recommend, click, recommend again")
            with Client(url) as client:
                show_story(client, url)
            console.print(f"\n[bold green]The whole story took {time.monotonic() - started:.0f} s.[/]")
            if once:
                return 0
            console.print(f"Serving at [bold]{url}[/]: its page shows why each film is there. Ctrl-C stops.")
            try:
                code = service.wait()
            except Stopped:
                return 0
    raise SettingsError(f"The service ended by itself with code {code}; its lines above say why.")


@contextmanager
def _child(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of ours in a child process, which ends with the block.

    The child has a session of its own: Ctrl-C reaches the demo only, which ends its children in order.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=preexec())
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _finish(module: str, *arguments: str) -> None:
    """Run a module of ours to its end; exit with its code if it fails, because it has printed the reason."""
    with _child(module, *arguments) as process:
        if code := process.wait():
            sys.exit(code)


def _wait_until_ready(url: str, service: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if service.poll() is not None:
            sys.exit(service.returncode or 1)
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        time.sleep(0.2)
    raise SettingsError(f"The service was not ready after {START_SECONDS} s.")


def show_story(client: Client, url: str) -> None:
    """Print recommendations for a known user, after a click, and for an unknown user."""
    data = dataset.read(DATA)
    titles = data.items.set_index("item_id")["title"]
    log = data.interactions
    user = int(log.groupby("user_id").size().loc[lambda n: n.between(12, 30)].index[0])
    history = log[log["user_id"] == user]["item_id"].map(titles)
    console.print(f"\nUser [bold]{user}[/] rated {len(history)} films, last: {', '.join(history.tail(5))}.\n")
    before = client.recommend(user, k=SHOWN)
    _show(f"POST /recommend for user {user}", before)

    clicked = before.items[min(5, len(before.items) - 1)]
    client.add_events([{"user_id": user, "item_id": clicked.item_id}])
    console.print(f"\nThe user clicks [bold]{clicked.title}[/]: POST /events.\n")
    _show("POST /recommend again: what changed", client.recommend(user, k=SHOWN), before)

    stranger = "someone nobody has seen"
    console.print(f"\n[bold]{stranger.capitalize()}[/] has no history: the list starts from what is popular now.\n")
    _show("an unknown user", client.recommend(stranger, k=SHOWN))
    session = [{"item_id": row} for row in titles[titles.isin(["Toy Story", "Finding Nemo", "Up"])].index[:3]]
    console.print(f"\nThe same stranger, with {len(session)} films looked at in this session, not stored anywhere:\n")
    _show("an unknown user with a session", client.recommend(stranger, k=SHOWN, session=session))
    event = f'{{"events": [{{"user_id": {user}, "item_id": "{clicked.item_id}"}}]}}'
    commands = (
        f"  curl {url}/recommend {HEADER} -d '{{\"user_id\": {user}}}'",
        f"  curl {url}/events {HEADER} -d '{event}'",
        f"  curl {url}/status",
    )
    console.print("\nThe same by hand:", *commands, sep="\n", highlight=False, soft_wrap=True)


def _show(title: str, answer: RecommendResponse, before: RecommendResponse | None = None) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("#", "title", "score", "sources", *(("before",) if before else ())):
        table.add_column(column, justify="left" if column in ("title", "sources") else "right")
    places = {item.item_id: str(place) for place, item in enumerate(before.items, 1)} if before else {}
    for place, item in enumerate(answer.items, 1):
        row = [str(place), item.title, f"{item.score:.2f}", ", ".join(item.sources)]
        table.add_row(*row, *([places.get(item.item_id, "[green]new[/]")] if before else []))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
