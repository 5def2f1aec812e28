"""The login of one console. A login from another terminal is offered, never adopted silently."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from core.api_schema import Role, Tokens
from core.service_client.login_session import LoginSession, StoredLogin


@dataclass(frozen=True)
class LoginIdentity:
    """Who a console and the site are logged in as. An empty name means the service's token."""

    user: str = ""
    site_user: str = ""
    shared: bool = False
    """The console uses the site's login."""
    role: Role | None = None
    """Of the console's user; None: nobody is logged in."""

    @property
    def offered(self) -> str:
        """The user of the site's login, if it is not the console's user."""
        return self.site_user if self.site_user != self.user else ""


class ConsoleSession(LoginSession):
    """Starts with the site's login. From then on, only this console changes its user.

    A login made here is kept in memory until `share` stores it in the site. While the console shares the site's login,
    both are renewed together; when the site's login ends or becomes another user's, the console keeps its own.
    """

    def __init__(self, site: LoginSession) -> None:
        super().__init__(site.path, site.url)
        self._site = site
        self._lock = threading.RLock()  # guards the three attributes below
        self._login = site.load()
        self._shared = self._login is not None
        self._begun_here = False  # no other program has ever had this login
        self._renewal_lock = threading.Lock()  # one thread at a time renews the console's own login

    def load(self) -> StoredLogin | None:
        """The console's login. Another process may have renewed a shared one."""
        with self._lock:
            if self._shared and self._login is not None:
                site_login = self._site.load()
                self._shared = site_login is not None and site_login.user == self._login.user
                self._login = site_login if self._shared else self._login
            return self._login

    def begin(self, tokens: Tokens) -> StoredLogin:
        """Store a new login for this console only. The site's login is unchanged."""
        with self._lock:
            self._login, self._shared, self._begun_here = self._login_from(tokens), False, True
            return self._login

    def keep(self, tokens: Tokens) -> StoredLogin:
        """Store renewed tokens where the login is stored. Raises XaivaError if they cannot be written."""
        with self._lock:
            self.load()
            self._login = self._site.keep(tokens) if self._shared else self._login_from(tokens)
            return self._login

    def end(self, user: str) -> None:
        """Mark the login as ended, so that no other login or token replaces it silently."""
        with self._lock:
            self.load()
            self._login = StoredLogin(url=self.url, user=user)
            if self._shared:
                self._site.end(user)

    def forget(self) -> None:
        """Log out this console. The site's login stays."""
        with self._lock:
            self._login, self._shared, self._begun_here = None, False, False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the login: the site's while it is shared, else among the threads of this console."""
        self.load()
        with self._site.exclusive() if self._shared else self._renewal_lock:
            yield

    # -- the site's login ----------------------------------------------------------------------------------------------

    def identity(self) -> LoginIdentity:
        """Who the console and the site are logged in as."""
        login, site_login = self.load(), self._site.load()
        return LoginIdentity(
            login.user if login else "",
            site_login.user if site_login and site_login.tokens else "",
            self._shared,
            login.tokens.role if login and login.tokens else None,
        )

    def share(self) -> None:
        """Store the console's login in the site, for the command line and for consoles started later.

        Raises XaivaError if it cannot be written.
        """
        with self._site.exclusive(), self._lock:
            if self._login is not None and self._login.tokens is not None:
                self._site.write(self._login)
                self._shared, self._begun_here = True, False

    def use_site_login(self) -> str:
        """Use the site's login from now on. Returns its user; empty: there is none."""
        with self._lock:
            self._login = self._site.load()
            self._shared, self._begun_here = self._login is not None, False
            return self._login.user if self._login else ""

    @property
    def owns(self) -> bool:
        """Whether no other program uses the login, so that logging out may end it at the service.

        A login that was once the site's may still be used by another console.
        """
        return self._begun_here
