"""The first process inside a sandbox: starts the command, passes a request to end on to it, and says how it ended.

Run by a bare Python inside, as compiled as it is when the service starts, so it imports nothing of ours. It is process
1 of its own world: when it ends, the kernel ends everything else in there.
"""

# What `signal` and `os` are made of: each command waits for their import, which takes longer than all the rest.
import _signal as signal  # type: ignore[import-not-found]
import posix as os
import sys

PROXY_PORT = 3128
"""Where our proxy is found inside, on the loopback interface that is the sandbox's own."""

_end = os._exit  # noqa: SLF001 - as `os` offers it
_PIECE_BYTES = 65536


def parse(data: bytes) -> tuple[bytes, bool, list[bytes], dict[bytes, bytes]]:
    """Read what `pack` of `sandbox_process` has written: folder, whether to listen, arguments, environment."""
    folder, listens, count, *rest = data.split(b"\0")
    arguments, variables = rest[: int(count)], rest[int(count) :]
    return folder, listens == b"1", arguments, dict(variable.split(b"=", 1) for variable in variables)


def main(configuration: int, control: int) -> None:
    """Say that we are ready, wait to be let go, run the command to its end."""
    folder, listens, arguments, environment = parse(_read(configuration))
    os.set_inheritable(control, False)
    if listens:
        _hand_over_listener(control)
    else:
        os.write(control, b"ready\n")
    if not os.read(control, 1):
        _end(1)
    child = os.fork()
    if child == 0:
        _become(control, folder, arguments, environment)
    signal.signal(signal.SIGTERM, lambda *_: _ask_to_end(child))
    while True:
        ended, status = os.wait()
        if ended == child:
            os.write(control, b"ended %d\n" % status)
            _end(0)


def _read(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, _PIECE_BYTES):
        pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces)


def _hand_over_listener(control: int) -> None:
    """Open the port of the proxy in this network and give it to the service, which answers it from outside."""
    import socket

    with (
        socket.create_server(("127.0.0.1", PROXY_PORT)) as listener,
        socket.socket(fileno=os.dup(control)) as channel,
    ):
        socket.send_fds(channel, [b"ready\n"], [listener.fileno()])


def _ask_to_end(child: int) -> None:
    try:
        os.killpg(child, signal.SIGTERM)
    except ProcessLookupError:
        # It does not lead its group yet, or has just ended.
        os.kill(child, signal.SIGTERM)


def _become(control: int, folder: bytes, arguments: list[bytes], environment: dict[bytes, bytes]) -> None:
    try:
        os.setsid()
        # Python ignores it; programs expect to be ended by it.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.chdir(folder)
        _execute(arguments, environment)
    except OSError as error:
        os.write(control, b"error %d\n" % (error.errno or 0))
    finally:
        _end(127)


def _execute(arguments: list[bytes], environment: dict[bytes, bytes]) -> None:
    """Become the program, looked up in the folders of its PATH, as `os.execvpe` does."""
    name, refused = arguments[0], None
    folders = (
        [b""] if b"/" in name else [folder + b"/" if folder else b"" for folder in environment[b"PATH"].split(b":")]
    )
    for folder in folders:
        try:
            os.execve(folder + name, arguments, environment)
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            refused = refused or error
    raise refused or missing


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
