"""Files are seldom replaced at once: a moment's nonsense is not an alarm, what stays is one."""

from service.transport.complaints import Complaints


def test_what_is_wrong_is_told_once_and_not_for_a_moment() -> None:
    complaints = Complaints()

    assert [complaints.is_due(why) for why in ("a", "b", "b", "b", "a", "a", "b", "b")] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_what_goes_wrong_again_is_told_again() -> None:
    complaints = Complaints()
    assert [complaints.is_due("a") for _ in range(3)] == [False, True, False]

    complaints.settled()

    assert [complaints.is_due("a") for _ in range(3)] == [False, True, False]
