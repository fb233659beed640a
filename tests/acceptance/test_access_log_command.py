"""``stakehold access-log`` as people and programs use it."""

from tests.acceptance.seat import Seat
from tests.deployment import Deployment
from tests.operating import Desk
from tests.waiting import until

SET_STATUS = "/stakehold.v1.AdminService/SetWalletStatus"
BEGUN, ENDED = "ACCESS_RECORD_KIND_BEGUN", "ACCESS_RECORD_KIND_ENDED"


async def test_what_was_administered_is_listed_in_every_format(deployment: Deployment, seat: Seat) -> None:
    desk = Desk(deployment.address)
    asked = ("access-log", "--player", seat.player_id, "--method", SET_STATUS)
    froze = await desk.says(
        "freeze", seat.player_id, "--currency", "EUR", "--reason", "a stolen card", "--yes"
    )
    assert froze.status == 0

    async def has_ended() -> bool:
        return len((await desk.says(*asked, "--output", "json")).document()) == 2

    await until(has_ended, what="the outcome is on record")
    ended, begun = (await desk.says(*asked, "--output", "json")).document()
    assert (begun["kind"], ended["kind"]) == (BEGUN, ENDED)
    assert begun["call_id"] == ended["call_id"]
    assert (begun["caller"], begun["why"], ended["code"]) == ("development", "a stolen card", "OK")
    assert begun["details"] == {"currency_code": "EUR", "status": "WALLET_STATUS_DEBITS_FROZEN"}
    assert int(begun["position"]) < int(ended["position"])

    [row] = (await desk.says(*asked, "--kind", "ended", "--output", "csv")).rows()
    assert (row["kind"], row["code"], row["peer"]) == ("ENDED", "OK", "127.0.0.1")
    header, line = (await desk.says(*asked, "--kind", "BEGUN")).lines()
    assert header.split()[:3] == ["position", "last_time", "kind"]
    assert "a stolen card" in line
    [only] = (await desk.says(*asked, "--call", begun["call_id"], "--code", "OK", "--output", "csv")).rows()
    assert only["call_id"] == begun["call_id"]
    assert (await desk.says(*asked, "--to", "2020-01-01")).lines() == ["none"]
