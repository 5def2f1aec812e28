"""The login of one console. What another terminal does to the site's login is offered and never taken silently."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from core.api_schema import Tokens
from core.service_client.login_session import LoginSession, StoredLogin


@dataclass(frozen=True)
class LoginIdentity:
    """Who a console is at a service, and whose login the site has; "" is nobody: the service's token counts.

    `shared`: the console's login is the site's.
    """

    user: str = ""
    site_user: str = ""
    shared: bool = False

    @property
    def offered(self) -> str:
        """Who the site's login belongs to, when that is somebody else."""
        return self.site_user if self.site_user != self.user else ""


class ConsoleSession(LoginSession):
    """Begins with the site's login, as it is at the first question. From then on only this console changes who it is.

    A login made here is kept in memory until `share` makes it the site's. While the console shares the site's login
    the two are renewed together; when the site's becomes another user's or ends, the console stays who it is.
    """

    def __init__(self, site: LoginSession) -> None:
        super().__init__(site.path, site.url)
        self._site = site
        self._lock = threading.RLock()  # guards the three below
        self._login = site.load()
        self._shared = self._login is not None
        self._begun_here = False  # and no other program has ever had this login
        self._renewal_lock = threading.Lock()  # a login of the console's own is renewed by one thread at a time

    def load(self) -> StoredLogin | None:
        """The console's login. A shared one may have been renewed by another process."""
        with self._lock:
            if self._shared and self._login is not None:
                site_login = self._site.load()
                self._shared = site_login is not None and site_login.user == self._login.user
                self._login = site_login if self._shared else self._login
            return self._login

    def begin(self, tokens: Tokens) -> StoredLogin:
        """Log in here alone; the site's login stays as it is."""
        with self._lock:
            self._login, self._shared, self._begun_here = self._login_from(tokens), False, True
            return self._login

    def keep(self, tokens: Tokens) -> StoredLogin:
        """Keep renewed tokens where the login is. Raises XaivaError when they cannot be written."""
        with self._lock:
            self.load()
            self._login = self._site.keep(tokens) if self._shared else self._login_from(tokens)
            return self._login

    def end(self, user: str) -> None:
        """Note that the login is over: no other login and no token takes its place unasked."""
        with self._lock:
            self.load()
            self._login = StoredLogin(url=self.url, user=user)
            if self._shared:
                self._site.end(user)

    def forget(self) -> None:
        """Nobody is logged in here any more; the site's login stays."""
        with self._lock:
            self._login, self._shared, self._begun_here = None, False, False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """As of the site's login while it is shared, else among the threads of this console."""
        self.load()
        with self._site.exclusive() if self._shared else self._renewal_lock:
            yield

    # -- the site's login ----------------------------------------------------------------------------------------------

    def identity(self) -> LoginIdentity:
        """Who the console is, and whose the site's login is."""
        login, site_login = self.load(), self._site.load()
        return LoginIdentity(
            login.user if login else "", site_login.user if site_login and site_login.tokens else "", self._shared
        )

    def share(self) -> None:
        """Make the console's login the site's, for the command line and for consoles that start from now on.

        Raises XaivaError when it cannot be written.
        """
        with self._site.exclusive(), self._lock:
            if self._login is not None and self._login.tokens is not None:
                self._site.write(self._login)
                self._shared, self._begun_here = True, False

    def use_site_login(self) -> str:
        """Use the site's login from now on, "" when there is none; returns whose it is."""
        with self._lock:
            self._login = self._site.load()
            self._shared, self._begun_here = self._login is not None, False
            return self._login.user if self._login else ""

    @property
    def owns(self) -> bool:
        """Whether the login belongs to this console alone, so that leaving it may end it at the service.

        One that was the site's may be another console's as well, also when the site's is another's now.
        """
        return self._begun_here
