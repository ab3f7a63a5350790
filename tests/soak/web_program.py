"""A web process that is begun anew as soon as it is gone. Everything is imported before, so that this takes no time.

Prints the port, and then the process id of each one.
"""

import logging
import os
import socket
import sys
import time

from contexten.contexten_app import ContextenApp
from contexten.server.serving import make_server
from contexten_core.settings import Settings

PAUSE_SECONDS = 0.05


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    while True:
        child = os.fork()
        if child == 0:
            serve(listener)
        print(child, flush=True)
        os.waitpid(child, 0)
        time.sleep(PAUSE_SECONDS)


def serve(listener: socket.socket) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        make_server(ContextenApp("soaked", settings=Settings()).app).run(sockets=[listener])
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
