"""Random evenings: whatever callers do, the service says what the reference says."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.deployment import Deployment
from tests.forgetful import blocking_oblivion
from tests.property.beside import CASHIER, BesideTheReference
from tests.property.machine import WalletMachine
from tests.property.slip_machine import SlipMachine
from tests.property.strategies import STANDING
from tests.reference import Policies
from tests.wallet_api import blocking_wallet_api

EXAMPLES_SETTING = "STAKEHOLD_PROPERTY_EXAMPLES"
EVENINGS = ((WalletMachine, 100, 40), (SlipMachine, 15, 25))
"""Each with how many examples, of how many steps."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("machine", "examples", "steps"), EVENINGS, ids=["bets", "slips"])
async def test_every_reply_is_the_one_that_the_reference_gives(
    deployment: Deployment, machine: type[BesideTheReference], examples: int, steps: int
) -> None:
    with (
        blocking_wallet_api(deployment.address) as api,
        blocking_oblivion(deployment.valkey.url, deployment.ledger_dsn) as oblivion,
    ):
        for source_id, policies in {**STANDING, CASHIER: Policies()}.items():
            api.put_source(source_id, policies)

        run_state_machine_as_test(
            lambda: machine(api, oblivion),  # type: ignore[arg-type]  # any callable that makes one will do
            settings=settings(
                max_examples=int(os.environ.get(EXAMPLES_SETTING, examples)),
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
                report_multiple_bugs=False,
            ),
        )

    await deployment.require_agreement()
