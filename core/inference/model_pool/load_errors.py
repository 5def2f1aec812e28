"""The errors of the model pool, and the sentences that say who uses the memory."""

from __future__ import annotations

import logging

from core.api_schema import LedgerStatus, ModelStatus
from core.errors import XaivaError
from core.inference.model_pool.devices import HostMemory
from core.inference.model_pool.memory_budget import Reservation, Shortage
from core.inference.settings import MIB

logger = logging.getLogger(__name__)

RESERVED = "reserved"  # the state of a job's memory in the pool's status


class NoRoom(XaivaError):
    """The model does not fit into memory next to the models in use."""


class LoadFailed(XaivaError):
    """The model cannot be loaded."""


def load_failure(key: str, error: BaseException) -> XaivaError:
    """What a failed load tells the cameras that wait for it."""
    if isinstance(error, XaivaError):
        return error if isinstance(error, NoRoom) else LoadFailed(error.what, error.why, error.remedy)
    logger.error("%s: loading failed", key, exc_info=error)
    return LoadFailed(f"Model {key}", f"{type(error).__name__}: {error}", "see the service's log for details")


def stopping_error(key: str) -> XaivaError:
    return LoadFailed(f"Model {key}", "the service is stopping", "start it again")


def no_room_error(key: str, shortage: Shortage, ledger: LedgerStatus) -> NoRoom:
    """The error of a camera whose model does not fit: the figures, and who uses the memory, by name."""
    used = [one for one in ledger.models if one.cost >= MIB and (one.leases or one.state == RESERVED)]
    in_use = [f"{one.key} {format_mib(one.cost)}{f' by {one.leases}' if one.leases else ''}" for one in used]
    room = format_mib(max(0, shortage.room))
    parts = [
        f"it needs {format_mib(shortage.need)} and {room} are left of {format_mib(ledger.total)} on {ledger.device}",
        f"{format_mib(ledger.reserve)} are kept in reserve",
        f"others use {format_mib(ledger.others)}" if ledger.others else "",
        f"in use: {', '.join(in_use)}" if in_use else "",
    ]
    jobs = "wait for the job to end or cancel it, " if any(one.state == RESERVED for one in used) else ""
    remedy = f"{jobs}stop cameras that use another model, choose a smaller one, or {_raise_limit(ledger)}"
    return NoRoom(f"Model {key}", "; ".join(part for part in parts if part), remedy)


def never_fits_error(reservation: Reservation, shortage: Shortage, limit: int, ledger: LedgerStatus) -> NoRoom:
    """The error of a job that would not fit even if nothing else ran."""
    why = f"it needs {format_mib(shortage.need)}, and models may use {format_mib(limit)} on {ledger.device}"
    return NoRoom(f"Memory for {reservation.title}", why, f"choose a smaller model, or {_raise_limit(ledger)}")


def waiting_reason(shortage: Shortage, ledger: LedgerStatus) -> str:
    """Why a job waits for its memory, for a line of its progress."""
    users = [_describe_user(one) for one in ledger.models if one.cost >= MIB]
    if ledger.others >= MIB:
        users.append(f"other programs {format_mib(ledger.others)}")
    device = ledger.device.partition(" ")[0]
    used_by = f"; used by {', '.join(users)}" if users else f"; {format_mib(max(0, shortage.room))} are free"
    return f"waits for {format_mib(shortage.need)} on {device}{used_by}"


def format_mib(count: int) -> str:
    return f"{round(count / MIB)} MB"


def _describe_user(model: ModelStatus) -> str:
    cameras = f" ({model.leases} camera{'s' if model.leases > 1 else ''})" if model.leases else ""
    return f"{model.key} {format_mib(model.cost)}{cameras}"


def _raise_limit(ledger: LedgerStatus) -> str:
    return "raise XAIVA_MEMORY_BUDGET_MB" if ledger.device == HostMemory.name else "lower XAIVA_VRAM_RESERVE_MB"
