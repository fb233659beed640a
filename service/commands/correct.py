"""``stakehold correct``: corrections of wallets by hand, by two persons."""

import click

from service.commands.operating import (
    STATUSES,
    confirm,
    currency_option,
    limit_option,
    operator_command,
    part_option,
    player_option,
    reason_option,
    yes_option,
)
from service.operators.cells import short_names
from service.operators.corrections import (
    STATES,
    approve_correction,
    describe_correction,
    find_correction,
    list_corrections,
    propose_correction,
    reject_correction,
    show_correction,
)
from service.operators.office import Office
from service.operators.reports import Dossier, Listing, Record

_id_argument = click.argument("correction_id", metavar="CORRECTION")
_by_option = click.option("--by", required=True, metavar="WHO", help="Who says so: kept with the entry.")


@click.group()
def command() -> None:
    """Correct a wallet by hand: one person proposes, another one approves."""


@command.command(epilog=STATUSES)
@_id_argument
@player_option
@currency_option
@click.option(
    "--amount", required=True, help="Not zero, as 5.00; with a leading - it takes money from the player."
)
@reason_option
@_by_option
@click.option(
    "--entry", "corrected_entry_id", default="", metavar="ID", help="The entry that it corrects, if it does."
)
@yes_option
@operator_command
def propose(office: Office, *, by: str, yes: bool, **said: str) -> Record:
    """Propose a correction. Nothing moves before another person approves.

    CORRECTION is an id of your own, such as the case's: said again with the same id, it is one proposal.
    """
    amount, code, player = said["amount"], said["currency_code"], said["player_id"]
    confirm(f"Propose {amount} {code} for player {player}, as {by}?", yes=yes)
    return propose_correction(office, author=by, **said)


@command.command(epilog=STATUSES)
@_id_argument
@_by_option
@yes_option
@operator_command
def approve(office: Office, *, correction_id: str, by: str, yes: bool) -> Record:
    """Approve a correction that another person proposed: it is booked."""
    if not yes:
        correction = find_correction(office, correction_id).correction
        confirm(f"Book {describe_correction(correction)}?", yes=False)
    return approve_correction(office, correction_id, approver=by)


@command.command(epilog=STATUSES)
@_id_argument
@_by_option
@reason_option
@yes_option
@operator_command
def reject(office: Office, *, correction_id: str, by: str, reason: str, yes: bool) -> Record:
    """Reject a correction that was proposed. Its author may, too."""
    if not yes:
        correction = find_correction(office, correction_id).correction
        confirm(f"Reject {describe_correction(correction)}?", yes=False)
    return reject_correction(office, correction_id, rejected_by=by, reason=reason)


@command.command(epilog=STATUSES)
@_id_argument
@part_option("correction", "messages")
@operator_command
def show(office: Office, *, correction_id: str) -> Dossier:
    """A correction, and who said what about it."""
    return show_correction(office, correction_id)


@command.command("list", epilog=STATUSES)
@click.option("--player", "player_id", default="", metavar="ID", help="Only this player's.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(short_names(STATES), case_sensitive=False),
    help="Only those in this state; may be said several times.",
)
@limit_option
@operator_command
def list_(office: Office, *, player_id: str, states: tuple[str, ...], limit: int | None) -> Listing:
    """Corrections, newest first."""
    return list_corrections(office, player_id, states, limit=limit)
