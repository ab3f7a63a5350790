"""Where an application runs: the stack of this home, or one that it starts for itself."""

import logging
from collections.abc import Callable
from threading import Event, Lock
from time import monotonic

from pydantic import SecretStr
from sqlalchemy import make_url

from contexten_core.errors import StackError
from contexten_core.settings import DatabaseKind, Settings
from deployments.attach import attached, running_state
from deployments.embedded_postgres import DATABASE_SECRET
from deployments.home import Home
from deployments.hosted import HostedStack
from deployments.stack import WORKER

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_FOUND = ("api_port", "github_webhook_secrets", "prefect_api_url", "public_url")


class Place:
    """Leads an application's settings to the parts that it needs, and starts those that run nowhere.

    Its methods block; from async code call them in a thread.

    Attributes:
        on_failure: called, in another thread, when a part that was started here has died for good.
    """

    def __init__(self, settings: Settings) -> None:
        self.on_failure: Callable[[], object] = lambda: None
        self._settings = settings
        self._given = settings.model_copy(deep=True)
        self._hosted: HostedStack | None = None
        self._is_serving = False
        self._finding = Lock()
        self._leaving = Event()
        self._failure: BaseException | None = None

    def find_database(self) -> None:
        """Start our own PostgreSQL where no database is configured and nobody has started it on this home.

        Raises:
            StackError: it does not start.
        """
        with self._finding:
            if self._settings.db.kind is DatabaseKind.EMBEDDED:
                self._follow(self._found())

    def _found(self) -> Settings:
        deadline = monotonic() + _WAIT_SECONDS
        while (found := self._running()) is None:
            try:
                return self._open()
            except StackError as error:
                # Somebody else may have this home and be starting; what it starts is ours to use as well.
                has_it = isinstance(error.__cause__, BlockingIOError)
                if not has_it or monotonic() > deadline or self._leaving.wait(_LOOK_SECONDS):
                    raise
        return found

    def _running(self) -> Settings | None:
        """Return settings that lead to the database of this home, if it runs."""
        if running_state(self._settings) is not None:
            return attached(self._settings)
        home = Home(self._settings.home.absolute())
        state = home.read_state()
        if state is None or state.database is None or not state.supervisor.is_running():
            return None
        found = self._settings.model_copy(deep=True)
        address = make_url(state.database).set(password=home.secret(DATABASE_SECRET))
        found.db.url = SecretStr(address.render_as_string(hide_password=False))
        return found

    def start_services(self) -> None:
        """Start Prefect's server and a worker, unless the stack of this home has them.

        Raises:
            StackError: a part does not start.
        """
        if self._is_serving or (self._hosted is None and running_state(self._settings) is not None):
            return
        if self._hosted is None:
            self._open()
        assert self._hosted is not None
        stack = self._hosted.start(WORKER, host=self._settings.api_host, port=self._settings.api_port)
        self._follow(stack.settings)
        self._is_serving = True

    def check(self) -> None:
        """Raise what a part has died of, if one has."""
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        """End what was started here; the settings lead nowhere in particular again."""
        self._leaving.set()
        # What is being found is waited for: it would go on after us.
        with self._finding:
            if self._hosted is not None:
                self._hosted.close()
                self._hosted = None
            self._is_serving = False
            self._follow(self._given)
            self._leaving.clear()

    def _open(self) -> Settings:
        self._failure = None
        self._hosted = HostedStack(self._settings, say=logger.info, failed=self._fail)
        try:
            return self._hosted.open()
        except BaseException:
            self._hosted = None
            raise

    def _follow(self, settings: Settings) -> None:
        self._settings.db.url = settings.db.url
        for name in _FOUND:
            setattr(self._settings, name, getattr(settings, name))

    def _fail(self, error: BaseException) -> None:
        logger.error("a part of the stack has died: %s", error)
        self._failure = error
        self.on_failure()
