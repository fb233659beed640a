"""A whole evening in the casino, as `make demo` plays it."""

from tests.deployment import Deployment


async def test_every_promise_is_kept_through_an_evening(private_deployment: Deployment) -> None:
    status, said = await private_deployment.run("demo", "--target", private_deployment.address)

    assert status == 0, said
    assert "Every promise was kept." in said
