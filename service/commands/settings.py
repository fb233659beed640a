"""``stakehold settings``: what can be configured."""

import click

from service.settings import Settings


@click.command()
def command() -> None:
    """List the environment variables that configure the service."""
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else f"default: {field.default}"
        click.echo(f"STAKEHOLD_{name.upper()}  ({default})")
        click.echo(f"    {field.description}")
