"""The console's style sheet: parsed once for each theme."""

from __future__ import annotations

from textual.css.stylesheet import Stylesheet


class ConsoleStylesheet(Stylesheet):
    """Textual's style sheet, which Textual has parsed again, whole, whenever a screen is opened for the first time.

    The rules are the same unless the theme's variables changed. Parsing takes 10 to 20 ms; what is added later,
    a new widget's own CSS, is still parsed when the rules are next used.
    """

    def __init__(self, *, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._parsed_variables = variables
        self._has_new_variables = False

    def set_variables(self, variables: dict[str, str]) -> None:
        """Take another theme's variables; the same ones again change nothing."""
        if variables != self._parsed_variables:
            super().set_variables(variables)
            self._parsed_variables = variables
            self._has_new_variables = True

    def reparse(self) -> None:
        """Parse everything again if the variables changed."""
        if self._has_new_variables:
            super().reparse()
            self._has_new_variables = False
