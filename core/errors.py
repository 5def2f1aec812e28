"""Errors written for the user: what failed, why, and what to do now.

The tree, as `make docs` writes it:
"""

# [[[cog
# from tools.architecture import errors
# cog.out(errors())
# ]]]
# XaivaError: BadAnswer, BrokenBank, BrokenGeneration, Cancelled, DamagedBlob, DeliveryRefused, HelperFailed,
#     InsufficientRole, JobBusy, JobNotRetryable, LaunchError, LayersMissing, LedgerError, LoadFailed, LoginRefused,
#     MediumGone, MediumProblem, Misconfigured, ModelBusy, NoBank, NoCores, NoGeneration, NoObject, NoPicture, NoRoom,
#     NotLearned, NotReady, OperationBusy, PictureGone, Redirected, ResolutionConflict, SecretFound,
#     SourceUnreachable, SpoolError, TooManyCameras, Unauthorised, Unreachable, WrongContent
#   - AnalyserDown: AnalyserBusy
#   - ChecksFailed: ShipmentRefused
#   - DatabaseError: DriverError
#   - EngineError: InvalidEngineSettings
#   - InputError: AlreadyLearning, AmbiguousService, BadPicture, CameraExists, EditConflictError,
#       InvalidEngineSettings, LastAdministrator, NotFound, NotRunning, PresetEditConflict, PresetError,
#       RangeNotSatisfiable, RuleExists, SettingsEditConflict, UnknownCamera, UnknownInspection, UnknownJob,
#       UnknownProduct, UnknownRule, UnknownUser, UserExists
#   - ServiceError: BrokenConnection, Forbidden, NoService, NotLoggedIn, VersionMismatch
#   - StorageRefused: KeyConflict
#   - TooManyRequests: TooManyLogins
#   - TransientError: StorageDown
# [[[end]]]

from __future__ import annotations

from core.redaction import redact_text
from core.terminal_text import escape_invisible, strip_controls


class XaivaError(Exception):
    """A failure a user can act on.

    `what` names the thing that failed (with its file or host), `why` the cause, `remedy` the next step. `what` and
    `why` may quote other programs: secrets and terminal control sequences are removed from them. `exit_code` is the
    exit code of the CLI.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        self.what = redact_text(escape_invisible(strip_controls(what), keep="\n\t"))
        self.why = redact_text(escape_invisible(strip_controls(why), keep="\n\t"))
        super().__init__(self.what, self.why, remedy)
        self.remedy = remedy

    @property
    def summary(self) -> str:
        """What failed and why, without the remedy."""
        return f"{self.what}: {self.why}" if self.why else self.what

    def __str__(self) -> str:
        return f"{self.summary}\n  → {self.remedy}" if self.remedy else self.summary


def os_reason(error: OSError) -> str:
    """Why a system call failed, in the system's words: `Permission denied`."""
    return error.strerror or str(error) or type(error).__name__


class InputError(XaivaError):
    """The user's input cannot be used: a preset, an option, a name."""

    exit_code = 2


class ChecksFailed(XaivaError):
    """A check completed and found errors."""

    exit_code = 3


class TransientError(XaivaError):
    """A failure that may pass by itself, such as of a network: trying again later is worth it."""


class Cancelled(XaivaError):
    """The work was cancelled; earlier results are still there."""

    exit_code = 130

    def __init__(self, what: str = "Cancelled", why: str = "", remedy: str = "") -> None:
        super().__init__(what, why, remedy)
