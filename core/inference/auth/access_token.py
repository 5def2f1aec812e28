"""Access tokens: signed, short-lived, and valid only as long as the login they came from."""

from __future__ import annotations

import time
from dataclasses import dataclass

import jwt

from core.inference.auth.errors import Unauthorised

ACCESS_TOKEN_SECONDS = 15 * 60  # seconds
_ISSUER = "xaiva-inference"
_ALGORITHM = "HS256"


@dataclass(frozen=True)
class Claims:
    """The content of an access token; `expires` is a Unix time.

    Raising a user's `generation` ends all tokens; `family` is the login that the token belongs to.
    """

    user: str
    generation: int
    family: str
    expires: float


class AccessTokens:
    """Signs and verifies access tokens with one secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def issue(self, user: str, generation: int, family: str) -> str:
        """A token for the next `ACCESS_TOKEN_SECONDS` seconds."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "sub": user,
            "gen": generation,
            "fam": family,
            "iat": now,
            "exp": now + ACCESS_TOKEN_SECONDS,
        }
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def read(self, token: str) -> Claims:
        """Verify a token. Raises Unauthorised when it is forged or expired."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={"require": ["exp", "iat", "sub", "gen", "fam", "iss"]},
            )
            return Claims(str(claims["sub"]), int(claims["gen"]), str(claims["fam"]), float(claims["exp"]))
        except jwt.ExpiredSignatureError:
            raise unauthorised("the login needs to be renewed") from None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise unauthorised() from None


def unauthorised(why: str = "the request carries no valid token") -> Unauthorised:
    """The same error for every bad token, so that it gives nothing away."""
    return Unauthorised("Access", why, "log in, or send the service's token as a bearer token")
