"""Accounts on real databases: passwords, logins, tokens, secrets."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from core.api_schema import Login, Role, Tokens, UserRequest, UserUpdate
from core.errors import InputError, XaivaError
from core.inference.auth import (
    Authenticator,
    LastAdministrator,
    TooManyLogins,
    Unauthorised,
    UnknownUser,
    UserExists,
    passwords,
    refresh_tokens,
)
from core.inference.auth.limiter import NAME_LIMIT, PAIR_LIMIT, LoginLimiter
from core.inference.auth.passwords import AT_ONCE, MAX_WAITING, NICENESS, Passwords
from core.inference.bulkhead import TooManyRequests
from core.inference.database.engine import Database
from core.inference.database.models import UserRow
from core.inference.secret_file import read_or_create_secret
from tests.api.conftest import QUICK
from tests.support import SQLITE_ALONE, until

PASSWORD = SecretStr("correct horse battery")
OTHER = SecretStr("another long password")
TOKEN = "t" * 40


@pytest.fixture(autouse=True)
def _quick_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same algorithm at the least cost, but where the cost is the matter."""
    if "cost" not in request.node.name:
        monkeypatch.setattr(passwords, "_HASHER", QUICK)


@pytest.fixture
def accounts(database_url: str, tmp_path: Path) -> Iterator[Authenticator]:
    database = Database(database_url)
    accounts = Authenticator(database, tmp_path, TOKEN)
    accounts.users.add(UserRequest(name="anna", password=PASSWORD, role=Role.ADMIN))
    accounts.users.add(UserRequest(name="victor", password=PASSWORD, cameras=["gate"]))
    yield accounts
    database.close()


def log_in(accounts: Authenticator, name: str = "victor", password: SecretStr = PASSWORD) -> Tokens:
    return accounts.login(Login(name=name, password=password), "10.0.0.9").result(30)


def test_a_login_speaks_for_its_user_and_the_service_token_for_the_service(accounts: Authenticator) -> None:
    caller = accounts.caller(log_in(accounts).access)
    assert (caller.name, caller.role, caller.access) == ("victor", Role.VIEWER, ["gate"])
    assert not caller.sees("yard")
    assert accounts.users.get("victor").last_login is not None
    service = accounts.caller(TOKEN)
    assert (service.role, service.access) == (Role.ADMIN, None)
    for wrong in ("", "t" * 39, "t" * 41, "ü", "a.b.c"):
        with pytest.raises(Unauthorised):
            accounts.caller(wrong)


@SQLITE_ALONE
def test_a_service_token_that_may_be_guessed_is_refused(accounts: Authenticator, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shorter than 32 characters") as caught:
        Authenticator(accounts._database, tmp_path, "hidden-word")
    assert "hidden-word" not in str(caught.value)


@SQLITE_ALONE
def test_a_stranger_with_a_made_up_token_never_waits_for_those_who_write(accounts: Authenticator) -> None:
    with accounts._database._writer:
        accounts.logout("made up")
        with pytest.raises(Unauthorised):
            accounts.refresh("made up")


@SQLITE_ALONE
def test_wrong_name_wrong_password_and_inactive_user_are_one_answer(accounts: Authenticator) -> None:
    accounts.users.add(UserRequest(name="gone", password=PASSWORD))
    accounts.users.update("gone", UserUpdate(active=False))
    errors = set()
    for name, password in (("nobody", PASSWORD), ("victor", OTHER), ("gone", PASSWORD)):
        with pytest.raises(Unauthorised) as caught:
            log_in(accounts, name, password)
        errors.add(str(caught.value))
    assert len(errors) == 1


def test_an_unknown_name_costs_a_comparison_as_well() -> None:
    hasher = Passwords()
    assert not hasher.verify("anything", None)
    hashed = hasher.hash("right one")
    assert hasher.verify("right one", hashed)
    assert not hasher.verify("right one", "no hash at all")

    def cost(name: str | None) -> float:
        began = time.thread_time()
        hasher.verify("wrong", name)
        return time.thread_time() - began

    assert cost(None) > cost(hashed) / 4  # processor time, not the clock's: skipping the comparison would be 1/1000


def test_passwords_are_looked_at_a_few_at_a_time_and_not_without_end() -> None:
    hasher, lock = Passwords(), threading.Lock()
    now, most, release = 0, 0, threading.Event()

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        release.wait(30)
        with lock:
            now -= 1

    futures = [hasher.submit(work) for _ in range(AT_ONCE + MAX_WAITING)]
    with pytest.raises(TooManyRequests) as caught:
        hasher.submit(work)
    assert caught.value.retry_after >= 1
    until(lambda: now == AT_ONCE)
    release.set()
    for future in futures:
        future.result(30)
    assert most == AT_ONCE
    own_priority = os.getpriority(os.PRIO_PROCESS, 0)
    assert hasher.submit(lambda: os.getpriority(os.PRIO_PROCESS, 0)).result(30) == min(own_priority + NICENESS, 19)


@SQLITE_ALONE
def test_a_password_of_another_cost_is_hashed_anew(accounts: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=2, memory_cost=128, parallelism=1))
    log_in(accounts)
    with accounts._database.read() as session:
        assert "m=128,t=2" in session.get_one(UserRow, "victor").password_hash
    log_in(accounts)


def test_tries_are_limited_by_name_and_by_address() -> None:
    clock = [1000.0]
    limiter = LoginLimiter(lambda: clock[0])
    for _ in range(PAIR_LIMIT.tries):
        assert limiter.attempt("anna", "10.0.0.1") == 0
    assert limiter.attempt("anna", "10.0.0.1") == PAIR_LIMIT.seconds
    assert limiter.attempt("anna", "10.0.0.2") == 0  # her own machine is not locked out
    clock[0] += PAIR_LIMIT.seconds
    for _ in range(PAIR_LIMIT.tries):
        assert limiter.attempt("anna", "10.0.0.1") == 0
    limiter.forget("anna", "10.0.0.1")
    assert limiter.attempt("anna", "10.0.0.1") == 0
    limiter = LoginLimiter(lambda: clock[0])
    for number in range(NAME_LIMIT.tries):
        assert limiter.attempt("anna", f"10.1.0.{number}") == 0
    assert limiter.attempt("anna", "10.2.0.1") == NAME_LIMIT.seconds


def test_who_guesses_locks_out_nobody_else_behind_the_same_address_and_is_not_forgotten() -> None:
    clock = [1000.0]
    limiter = LoginLimiter(lambda: clock[0])
    for _ in range(PAIR_LIMIT.tries):
        limiter.attempt("victor", "172.17.0.1")
    for number in range(20_000):
        assert limiter.attempt(f"name-{number}", "172.17.0.1") == 0
    assert limiter.attempt("anna", "172.17.0.1") == 0
    assert limiter.attempt("victor", "172.17.0.1") > 0
    clock[0] += NAME_LIMIT.seconds
    limiter.attempt("anna", "172.17.0.1")
    assert len(limiter._tries) == 2


@SQLITE_ALONE
def test_login_says_when_to_try_again(accounts: Authenticator) -> None:
    for _ in range(PAIR_LIMIT.tries):
        with pytest.raises(Unauthorised):
            log_in(accounts, "nobody")
    with pytest.raises(TooManyLogins, match="try again in"):
        log_in(accounts, "nobody")
    log_in(accounts)


@SQLITE_ALONE
def test_a_refresh_token_used_twice_ends_the_login(accounts: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_tokens, "REUSE_SECONDS", 0)
    first = log_in(accounts)
    other_login = log_in(accounts)
    second = accounts.refresh(first.refresh)
    assert accounts.caller(second.access).name == "victor"
    with pytest.raises(Unauthorised):
        accounts.refresh(first.refresh)
    with pytest.raises(Unauthorised):
        accounts.refresh(second.refresh)  # who of the two is the thief is not known: both are out
    with pytest.raises(Unauthorised):
        accounts.caller(second.access)
    accounts.caller(other_login.access)
    with pytest.raises(Unauthorised):
        accounts.refresh("made up")


def test_all_who_refresh_at_once_get_the_same_token(accounts: Authenticator) -> None:
    token = log_in(accounts).refresh
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: accounts.refresh(token).refresh, range(8)))) == 1


@pytest.mark.parametrize(
    "end",
    [
        lambda accounts, tokens: accounts.logout(tokens.refresh),
        lambda accounts, _: accounts.users.update("victor", UserUpdate(password=OTHER)),
        lambda accounts, _: accounts.users.update("victor", UserUpdate(active=False)),
        lambda accounts, _: accounts.users.remove("victor"),
    ],
    ids=["logout", "password", "inactive", "removed"],
)
def test_what_ends_a_login_ends_it_at_once(
    accounts: Authenticator, end: Callable[[Authenticator, Tokens], object]
) -> None:
    tokens = log_in(accounts)
    accounts.caller(tokens.access)
    end(accounts, tokens)
    with pytest.raises(Unauthorised):
        accounts.caller(tokens.access)
    with pytest.raises(Unauthorised):
        accounts.refresh(tokens.refresh)


def test_a_changed_role_counts_at_once(accounts: Authenticator) -> None:
    tokens = log_in(accounts)
    accounts.users.update("victor", UserUpdate(role=Role.OPERATOR, cameras=["yard"]))
    caller = accounts.caller(tokens.access)
    assert (caller.role, caller.access) == (Role.OPERATOR, ["yard"])
    accounts.users.update("victor", UserUpdate(role=Role.ADMIN, all_cameras=True))
    assert accounts.caller(tokens.access).access is None


@SQLITE_ALONE
def test_forged_and_old_access_tokens_are_refused(accounts: Authenticator, tmp_path: Path) -> None:
    access = log_in(accounts).access
    claims = jwt.decode(access, options={"verify_signature": False})
    secret = (tmp_path / "token-secret").read_text().strip()
    assert accounts.caller(jwt.encode(claims, secret, algorithm="HS256")).name == "victor"
    forged = [
        jwt.encode(claims, "x" * 43, algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode(claims, secret * 2, algorithm="HS512"),
        jwt.encode({**claims, "exp": int(time.time()) - 1}, secret, algorithm="HS256"),
        jwt.encode({**claims, "gen": 0}, secret, algorithm="HS256"),
        jwt.encode({**claims, "gen": "x"}, secret, algorithm="HS256"),
        jwt.encode({**claims, "sub": "anna"}, secret + "x", algorithm="HS256"),
        jwt.encode({key: value for key, value in claims.items() if key != "exp"}, secret, algorithm="HS256"),
        access[:-2],
    ]
    for token in forged:
        with pytest.raises(Unauthorised):
            accounts.caller(token)


def test_the_last_administrator_stays(accounts: Authenticator) -> None:
    for refused in (
        lambda: accounts.users.remove("anna"),
        lambda: accounts.users.update("anna", UserUpdate(active=False)),
        lambda: accounts.users.update("anna", UserUpdate(role=Role.OPERATOR)),
    ):
        with pytest.raises(LastAdministrator):
            refused()
    assert accounts.users.get("anna").active
    accounts.users.add(UserRequest(name="berta", password=PASSWORD, role=Role.ADMIN))
    accounts.users.remove("anna")
    with pytest.raises(LastAdministrator):
        accounts.users.remove("berta")
    accounts.users.update("victor", UserUpdate(cameras=[]))


def test_users_are_refused_with_reasons(accounts: Authenticator) -> None:
    with pytest.raises(UserExists):
        accounts.users.add(UserRequest(name="anna", password=PASSWORD))
    with pytest.raises(UserExists):
        accounts.users.add(UserRequest(name="service", password=PASSWORD))
    with pytest.raises(InputError, match="sees, all cameras"):
        accounts.users.add(UserRequest(name="carl", password=PASSWORD, role=Role.ADMIN, cameras=["gate"]))
    with pytest.raises(InputError, match="sees, all cameras"):
        accounts.users.update("victor", UserUpdate(role=Role.ADMIN))
    with pytest.raises(InputError, match="one of the two"):
        accounts.users.update("victor", UserUpdate(cameras=["gate"], all_cameras=True))
    for unknown in (accounts.users.get, accounts.users.remove):
        with pytest.raises(UnknownUser):
            unknown("nobody")
    assert [user.name for user in accounts.users.all()] == ["anna", "victor"]


def _read(path: str, out: multiprocessing.Queue[str]) -> None:
    out.put(read_or_create_secret(Path(path)))


def test_secrets_are_made_once_whole_and_private(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    out: multiprocessing.Queue[str] = context.Queue()
    path = tmp_path / "data" / "secret"
    processes = [context.Process(target=_read, args=(str(path), out)) for _ in range(8)]
    for process in processes:
        process.start()
    secrets = {out.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(30)
    assert secrets == {path.read_text().strip()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]
    path.chmod(0o644)
    with pytest.raises(InputError, match="other users can read it"):
        read_or_create_secret(path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(InputError, match="incomplete"):
        read_or_create_secret(path)
    elsewhere = tmp_path / "link"
    elsewhere.symlink_to(path)
    with pytest.raises(XaivaError):
        read_or_create_secret(elsewhere)


@SQLITE_ALONE
def test_the_database_holds_no_password_and_no_token(accounts: Authenticator, tmp_path: Path) -> None:
    tokens = log_in(accounts)
    content = b"".join(path.read_bytes() for path in tmp_path.glob("xaiva.db*"))
    assert b"$argon2id$" in content
    for secret in (PASSWORD.get_secret_value(), tokens.refresh, tokens.access):
        assert secret.encode() not in content
