"""The picture of an inspection with its heat map, as PPM of any width."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import XaivaError
from tui.picture.heat import HeatMap, blend
from tui.picture.png import read_grey_png
from tui.picture.raster import Raster, read_ppm


class InspectedPicture:
    """Called in the picture's thread with a width in pixels. The heat map is read once."""

    def __init__(self, picture: Callable[[int], bytes], heat_map: Callable[[], bytes], threshold: float) -> None:
        self.why = ""
        """Why there is no heat map; empty: there is one, or it was not read yet."""
        self._picture = picture
        self._heat_map = heat_map
        self._threshold = threshold
        self._heat: HeatMap | None = None

    def __call__(self, width: int) -> bytes:
        """The picture; without a heat map where that cannot be read. Raises XaivaError."""
        data = self._picture(width)
        try:
            self._heat = self._heat or HeatMap(*read_grey_png(self._heat_map()), self._threshold)
            self.why = ""
        except XaivaError as error:
            self.why = error.why or error.what
            return data
        return write_ppm(blend(read_ppm(data), self._heat))


def write_ppm(raster: Raster) -> bytes:
    """The pixels as a binary PPM file."""
    return b"P6 %d %d 255\n" % (raster.width, raster.height) + raster.rgb
