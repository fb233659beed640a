"""The examples' plays, as `make demo` plays them."""

from pathlib import Path

from examples.saturday.__main__ import saturday
from tests.deployment import Deployment
from tests.working import working


async def test_every_promise_is_kept_through_an_evening(private_deployment: Deployment) -> None:
    status, said = await private_deployment.run(
        "demo", "--play", "evening", "--target", private_deployment.address
    )

    assert status == 0, said
    assert "Every promise was kept." in said


async def test_every_promise_is_kept_through_a_small_saturday(
    private_deployment: Deployment, tmp_path: Path
) -> None:
    file = tmp_path / "small-saturday.jsonl"
    file.write_text("".join(saturday(punters=12, slips=7, seed=7)))

    async with working(private_deployment):
        status, said = await private_deployment.run(
            "demo", "--file", str(file), "--target", private_deployment.address
        )

    assert status == 0, said
    assert "Slips: what each of" in said
    assert "Submitted: each of" in said
    assert "Every promise was kept." in said


async def test_every_promise_is_kept_through_a_cashiers_day(private_deployment: Deployment) -> None:
    for _ in range(2):
        status, said = await private_deployment.run(
            "demo", "--play", "cashiers_day", "--target", private_deployment.address
        )

        assert status == 0, said
        assert "Every promise was kept." in said
