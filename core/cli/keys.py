"""`xaiva key`: the key that signs shipments, and the keys that this site trusts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Group

if TYPE_CHECKING:
    from core.carry.signers import Signer

comment_option = click.option("--comment", metavar="TEXT", default="", help="Whose key it is (default: user@host).")


@click.group("key", cls=Group)
def key_command() -> None:
    """Keys that sign shipments: the office's own, and those that a site trusts."""


@key_command.command("create")
@comment_option
@json_option
@click.pass_obj
def create(session: CliSession, comment: str, as_json: bool) -> None:
    """Create the key with which this site signs shipments. An existing key is never replaced."""
    from core.carry.signing import create_key, signing_key

    signer = create_key(session.site, comment)
    if as_json:
        output.print_json({"key": _document(signer)})
        return
    output.print_line(f"created {signing_key(session.site)}")
    _print_paper(signer)


@key_command.command("show")
@json_option
@click.pass_obj
def show(session: CliSession, as_json: bool) -> None:
    """Show the public part of the signing key, and what to write on the paper for the site."""
    from core.carry.signing import public_key

    signer = public_key(session.site)
    if as_json:
        output.print_json({"key": _document(signer)})
        return
    _print_paper(signer)


@key_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the keys that this site trusts, and those that it never trusts again."""
    from core.carry.trust_store import read_trust
    from core.carry.verification_time import format_moment, verification_time

    trust = read_trust(session.site)
    at = verification_time(trust.newest)
    if as_json:
        revoked = [{"fingerprint": fingerprint, "reason": reason} for fingerprint, reason in trust.revoked.items()]
        keys = [{**_document(signer), "valid": signer.is_valid_at(at.moment)} for signer in trust.signers]
        output.print_json({"keys": keys, "revoked": revoked, "accepted": trust.accepted, "findings": at.findings()})
        return
    rows = []
    for signer in trust.signers:
        state = "revoked" if signer.fingerprint in trust.revoked else "trusted"
        if state == "trusted" and not signer.is_valid_at(at.moment):
            state = "expired" if signer.valid_before and at.moment > signer.valid_before else "not yet"
        until = format_moment(signer.valid_before) if signer.valid_before else "no end"
        rows.append((signer.fingerprint, state, until, signer.comment))
    trusted = {signer.fingerprint for signer in trust.signers}
    rows += [(one, "revoked", "", reason) for one, reason in trust.revoked.items() if one not in trusted]
    output.print_table(
        ("FINGERPRINT", "STATE", "VALID BEFORE", "COMMENT"),
        rows,
        "this site trusts no key yet",
    )
    if trust.newest:
        output.print_line(f"newest shipment: {trust.newest.shipment} of {format_moment(trust.newest.created)}")
    for finding in at.findings():
        output.print_line(f"{finding.level.value}: {finding.summary}", err=True)


@key_command.command("trust")
@click.argument("key", metavar="FILE_OR_LINE")
@click.option("--valid-before", metavar="DATE", default="", help="The day on which it stops to count, in UTC.")
@json_option
@click.pass_obj
def trust(session: CliSession, key: str, valid_before: str, as_json: bool) -> None:
    """Trust a key: a `.pub` file, or its line in quotes. Compare its fingerprint with the paper first."""
    from dataclasses import replace

    from core.carry.signers import parse_date, parse_signer
    from core.carry.trust_store import add_signer

    signer = parse_signer(_key_text(key))
    if valid_before:
        signer = replace(signer, valid_before=parse_date(valid_before))
    add_signer(session.site, signer)
    if as_json:
        output.print_json({"key": _document(signer)})
        return
    output.print_line(f"{signer.fingerprint} is trusted ({signer.comment or 'no comment'})")


@key_command.command("revoke")
@click.argument("fingerprint")
@yes_option
@json_option
@click.pass_obj
def revoke(session: CliSession, fingerprint: str, yes: bool, as_json: bool) -> None:
    """Never trust a key again, here and at the sites that take the next shipment."""
    from core.carry.signers import normal_fingerprint
    from core.carry.trust_store import revoke_signer

    name = normal_fingerprint(fingerprint)
    confirm(f"Revoke {name} for good?", yes)
    revoke_signer(session.site, name)
    if as_json:
        output.print_json({"fingerprint": name, "state": "revoked"})
        return
    output.print_line(f"{name} is revoked")


@key_command.command("rotate")
@click.option("--finish", is_flag=True, help="Sign with the new key from now on, and revoke the old one.")
@comment_option
@json_option
@click.pass_obj
def rotate(session: CliSession, finish: bool, comment: str, as_json: bool) -> None:
    """Change the signing key for a new one; with --finish once every site has taken a shipment."""
    from core.carry.signing import begin_rotation, finish_rotation

    signer = finish_rotation(session.site) if finish else begin_rotation(session.site, comment)
    if as_json:
        output.print_json({"key": _document(signer), "state": "finished" if finish else "begun"})
        return
    _print_paper(signer)
    if finish:
        click.echo("\nThis key signs from now on. The next shipments tell the sites to drop the old one.")
    else:
        click.echo("\nThe old key still signs, and each shipment from now on brings this one to its site.")
        click.echo("Once every site has taken one: xaiva key rotate --finish")


def _document(signer: Signer) -> dict[str, Any]:
    return {
        "fingerprint": signer.fingerprint,
        "line": signer.public_line,
        "comment": signer.comment,
        "valid_after": signer.valid_after.isoformat() if signer.valid_after else None,
        "valid_before": signer.valid_before.isoformat() if signer.valid_before else None,
    }


def _print_paper(signer: Signer) -> None:
    """The key, and its fingerprint in blocks of four, which people compare without losing their place."""
    bare = signer.fingerprint.removeprefix("SHA256:")
    blocks = " ".join(bare[start : start + 4] for start in range(0, len(bare), 4))
    output.print_line(signer.public_line)
    output.print_line(signer.fingerprint)
    click.echo("\nWrite this on the paper that goes to the site; capital and small letters differ:")
    click.echo(f"  SHA256: {blocks}")


def _key_text(text: str) -> str:
    """The line itself, or the only line of a file with that name. Raises InputError."""
    from core.carry.signers import signer_lines
    from core.errors import InputError, os_reason
    from core.files import read_regular

    if len(text.split()) > 1:
        return text
    path = Path(text)
    try:
        lines = [line for _, line in signer_lines(read_regular(path).decode())]
    except OSError as error:
        raise InputError(f"Public key {path}", os_reason(error), "name a .pub file, or give its line") from error
    except UnicodeDecodeError as error:
        raise InputError(f"Public key {path}", "it is not text", "name the file that ends in .pub") from error
    if len(lines) != 1:
        why = f"it has {len(lines)} lines, and one key is trusted at a time"
        raise InputError(f"Public key {path}", why, "give the line of one key in quotes")
    return lines[0]
