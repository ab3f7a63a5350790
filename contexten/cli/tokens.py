"""Tokens: what proves to API and pages who asks."""

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import AsJson, Limit, coloured, err, print_json, print_table, with_runtime, with_session
from contexten_core.db import utc_now
from contexten_core.errors import NotFoundError
from contexten_core.runtime import Runtime
from contexten_core.security import store
from contexten_core.security.models import AccessTokenModel
from contexten_core.security.tokens import TokenRole, create_token, revoke_token

app = typer.Typer(no_args_is_help=True, help=__doc__)
Name = Annotated[str, typer.Argument(help="Who or what the token is for.")]


@app.command("create")
def create(
    name: Name,
    role: Annotated[
        TokenRole, typer.Option(help="An editor can do all but make tokens and move protected labels of prompts.")
    ] = TokenRole.ADMIN,
    expires_days: Annotated[
        int | None,
        typer.Option("--expires-days", min=1, max=36_500, help="Days until it stops working; never if unset."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, this once."""
    expires_at = None if expires_days is None else utc_now() + timedelta(days=expires_days)

    async def work(runtime: Runtime) -> str:
        async with runtime.database.transaction() as session:
            return await create_token(session, name, role.value, expires_at=expires_at)

    token = with_runtime(work, as_json=as_json)
    if as_json:
        print_json(
            {
                "name": name,
                "role": role.value,
                "token": token,
                "expires_at": expires_at.isoformat() if expires_at else None,
            }
        )
        return
    typer.echo(token)
    until = f"until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else "until it is revoked"
    err.print(f"[dim]It is not shown again, and works {until}. Send it as `Authorization: Bearer TOKEN`.[/]")


@app.command("list")
def list_tokens(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the newest tokens, without what proves them."""

    async def read(session: AsyncSession) -> list[AccessTokenModel]:
        return list((await store.page_tokens(session, limit=limit, cursor=None)).rows)

    lines = [_line(token) for token in with_session(read, as_json=as_json)]
    if as_json:
        print_json(lines)
        return
    print_table(
        "Tokens",
        ("name", "role", "state", "created", "expires", "last used"),
        [
            (
                escape(line["name"]),
                line["role"],
                coloured(line["state"]),
                *(_minute(line[key]) for key in ("created_at", "expires_at", "last_used_at")),
            )
            for line in lines
        ],
    )


@app.command("revoke")
def revoke(name: Name, as_json: AsJson = False) -> None:
    """Make a token useless from the next request on."""

    async def work(runtime: Runtime) -> None:
        async with runtime.database.transaction() as session:
            if not await revoke_token(session, name):
                raise NotFoundError(f"there is no token named {name!r}", hint="`contexten tokens list` shows them")

    with_runtime(work, as_json=as_json)
    if as_json:
        print_json({"name": name, "state": "revoked"})
    else:
        err.print(f"{escape(name)} is revoked.")


def _line(token: AccessTokenModel) -> dict[str, Any]:
    return {key: value for key, value in token.to_dict().items() if key != "digest"} | {"state": _state(token)}


def _state(token: AccessTokenModel) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= utc_now() else "active"


def _minute(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else ""
