"""`stakehold ping` says whether the service answers, and ends as a probe has to."""

import json

from service.embedded.ports import LOOPBACK, free_port
from tests.deployment import Deployment

NO_ANSWER = 3


async def test_a_service_that_answers_is_told_of(deployment: Deployment) -> None:
    status, said = await deployment.run("ping", "--address", deployment.address, "--output", "json")

    assert status == 0, said
    told = json.loads(said)
    assert (told["address"], told["health"]) == (deployment.address, "SERVING")


async def test_nobody_there_is_no_answer(deployment: Deployment) -> None:
    status, said = await deployment.run("ping", "--address", f"{LOOPBACK}:{free_port()}")

    assert status == NO_ANSWER, said
