"""The command line. Each command is a module of ``service.commands``, imported when it is asked for."""

import importlib

import click

_COMMANDS = {
    "up": "Run everything here: embedded Valkey and Postgres, the service, the drainer and the worker.",
    "demo": "Play the examples against a fresh stack and check every promise.",
    "serve": "Serve the gRPC API.",
    "drain": "Carry committed entries from the outbox into the ledger.",
    "work": "Apply what was submitted for later, and do what else is done in the background.",
    "edge": "Serve HTTP for providers that call back, in front of the service.",
    "feed": "Fetch rates of the market, and push them to the service.",
    "publish": "Publish the ledger's entries to NATS JetStream or Kafka.",
    "migrate": "Bring the ledger's schema up to date.",
    "positions": "Say what the house has of each currency, and what came of it.",
    "verify": "Audit the ledger offline; exit 1 with findings.",
    "doctor": "Say what is wrong, and which copy is right; exit 1 if something is.",
    "recover": "Take over stores that wait for it, and book again what was answered and lost.",
    "export": "Write the ledger to signed files that prove themselves.",
    "verify-export": "Verify exported files, without a database; exit 1 with findings.",
    "archive": "Export finished months, verify them, and put them on record.",
    "erase": "Erase a player's personal data; money and chain stay.",
    "settings": "List the environment variables that configure the service.",
}
_OPERATORS_COMMANDS = {
    "ping": "Say whether the service answers.",
    "player": "Show a player's wallets, open rounds, open slips and newest transactions.",
    "statement": "Draw up a wallet's statement.",
    "entries": "List what stands in the ledger.",
    "transaction": "Say what became of a transaction.",
    "round": "Show what was played in a round.",
    "slip": "Show where a slip stands.",
    "submission": "Show what was submitted for later, and how far it is.",
    "dead-letters": "List submitted commands that were given up, and have them tried again.",
    "reviews": "List what a person should look at, and resolve it.",
    "freeze": "Refuse a wallet's debits.",
    "unfreeze": "Take a frozen wallet's debits again.",
    "close": "Close a wallet.",
    "access-log": "List who was denied what, and who did what by way of administration.",
    "correct": "Correct a wallet by hand: one person proposes, another one approves.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *_OPERATORS_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS and cmd_name not in _OPERATORS_COMMANDS:
            return None
        command = importlib.import_module(f"service.commands.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))
        with formatter.section("For operators, of a running service"):
            formatter.write_dl(list(_OPERATORS_COMMANDS.items()))


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="stakehold")
def main() -> None:
    """Stakehold: a multi-currency wallet for games and sportsbooks.

    `up` runs it all on this machine. With servers of your own, set STAKEHOLD_VALKEY_URL and
    STAKEHOLD_POSTGRES_URL, run `migrate` once, then `serve`, `drain` and `work`.
    """


if __name__ == "__main__":
    main()
