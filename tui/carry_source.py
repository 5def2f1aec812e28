"""The source of the Carry screen: media, and the key that signs shipments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import XaivaError
from core.site import Site

if TYPE_CHECKING:
    from core.carry.media_list import ListedMedium, MediaLister


@dataclass(frozen=True)
class CarryView:
    """The media of this machine, and the fingerprint of the site's own key, or why there is none."""

    media: list[ListedMedium]
    fingerprint: str
    key_problem: str = ""


class CarrySource:
    """Reads media in a source's thread. `named` are folders that a person typed; the screen replaces it as a whole."""

    def __init__(self, site: Site) -> None:
        self.named: tuple[str, ...] = ()
        self._site = site
        self._lister: MediaLister | None = None

    def read(self) -> CarryView:
        """Everything as it is now."""
        from core.carry.media_list import MediaLister
        from core.carry.signing import fingerprint

        self._lister = self._lister or MediaLister(self._site)
        self._lister.named = self.named
        media = self._lister.list()
        try:
            return CarryView(media, fingerprint(self._site))
        except XaivaError as error:
            return CarryView(media, "", error.summary)
