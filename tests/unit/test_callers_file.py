"""The callers file: what it may say, and that whatever else it says is refused with the place where."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.callers.caller import Caller, Identification, Role
from service.callers.callers_file import CallersFileRefused, parse_callers, read_callers_file

EXAMPLE = Path(__file__).parents[2] / "examples" / "callers.yaml"
ID = "spiffe://casino.example/games/slots"
SLOTS: dict[str, Any] = {"name": "slots", "roles": ["game"], "sources": ["slots-inc"], "spiffe_ids": [ID]}
ISSUER: dict[str, Any] = {
    "issuer": "https://login.example",
    "audience": "stakehold",
    "jwks_url": "https://login.example/keys",
}
ADA = {"name": "ada", "tokens": [{"issuer": "https://login.example", "subject": "ada"}]}


def parsed(*callers: dict[str, Any], issuers: list[dict[str, Any]] | None = None) -> Any:
    text = json.dumps({"callers": list(callers), "issuers": issuers or []})  # which is YAML, too
    return parse_callers(text.encode(), name="callers.yaml")


def refusal(*callers: dict[str, Any], issuers: list[dict[str, Any]] | None = None) -> str:
    with pytest.raises(CallersFileRefused) as refused:
        parsed(*callers, issuers=issuers)
    return str(refused.value)


def test_a_caller_has_its_roles_and_its_sources() -> None:
    [entry] = parsed(SLOTS).callers

    assert entry.caller(Identification.CERTIFICATE) == Caller(
        "slots", frozenset({Role.GAME}), frozenset({"slots-inc"}), Identification.CERTIFICATE
    )


def test_who_is_told_nothing_may_do_nothing() -> None:
    [entry] = parsed({"name": "slots", "spiffe_ids": [ID]}).callers

    caller = entry.caller(Identification.CERTIFICATE)

    assert caller.roles == frozenset()
    assert caller.sources == frozenset()
    assert not caller.may_act_as("slots")


def test_all_sources_have_to_be_said() -> None:
    [entry] = parsed({**SLOTS, "sources": "all"}).callers

    assert entry.caller(Identification.CERTIFICATE).sources is None


def test_subjects_are_compared_as_certificates_write_them() -> None:
    [entry] = parsed({"name": "slots", "certificate_subjects": ["CN=sl\\6fts,O=Casino\\2c Malta"]}).callers

    assert list(entry.identities()) == [("subject", "CN=slots,O=Casino\\, Malta")]


def test_the_example_can_be_read() -> None:
    assert len(read_callers_file(EXAMPLE).callers) > 5


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"role": ["game"]}, "callers.0.role: Extra inputs are not permitted"),
        ({"roles": ["gamer"]}, "callers.0.roles.0"),
        ({"roles": "game"}, "callers.0.roles"),
        ({"sources": "some"}, "callers.0.sources"),
        ({"sources": [7]}, "callers.0.sources"),
        ({"sources": [""]}, "callers.0.sources"),
        ({"name": ""}, "callers.0.name"),
        ({"name": "two words"}, "callers.0.name"),
        ({"name": "development"}, "where nobody is asked"),
        ({"carries_tokens": "yes"}, "callers.0.carries_tokens"),
        ({"spiffe_ids": []}, "nothing says how it is known"),
        ({"spiffe_ids": ["https://casino.example"]}, "must be a SPIFFE id"),
        ({"spiffe_ids": ["spiffe://casino.example/../x"]}, "must be a SPIFFE id"),
        ({"spiffe_ids": ["spiffe://Casino.example/x"]}, "must be a SPIFFE id"),
        ({"certificate_subjects": ["slots"]}, "must be a name of RFC 4514"),
        ({"certificate_subjects": [""]}, "must be a name of RFC 4514"),
        ({"certificate_subjects": ["CN=slots, O=Casino"]}, "without blanks between"),
        ({"certificate_dns_names": ["*.casino.example"]}, "without *"),
        ({"certificate_dns_names": [""]}, "without *"),
        ({"tokens": [{"issuer": "https://evil.example", "subject": "x"}]}, "not among the issuers"),
        ({"tokens": [{"issuer": "https://login.example"}]}, "callers.0.tokens.0.subject"),
    ],
)
def test_what_a_caller_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    assert says in refusal({**SLOTS, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"algorithms": ["none"]}, "issuers.0.algorithms.0"),
        ({"algorithms": ["HS256"]}, "issuers.0.algorithms.0"),
        ({"algorithms": []}, "issuers.0.algorithms"),
        ({"audience": ""}, "issuers.0.audience"),
        ({"issuer": ""}, "issuers.0.issuer"),
        ({"jwks_url": "http://login.example/keys"}, "must begin with https://"),
        ({"jwks_url": "http://127.0.0.1.evil.example/keys"}, "must begin with https://"),
        ({"jwks_url": "https://ada:hunter2@login.example/keys"}, "hold no password"),
        ({"jwks_url": "file:///etc/passwd"}, "must begin with https://"),
        ({"jwks_url": "https:///keys"}, "must begin with https://"),
        ({"jwks_file": "/keys.json"}, "and not both"),
        ({"jwks_url": None}, "must have a jwks_url or a jwks_file"),
        ({"leeway_s": 3600}, "issuers.0.leeway_s"),
        ({"keys_max_age_s": 0}, "issuers.0.keys_max_age_s"),
        ({"secret": "hunter2"}, "issuers.0.secret"),
    ],
)
def test_what_an_issuer_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    said = refusal(ADA, issuers=[{**ISSUER, **changes}])

    assert says in said
    assert "hunter2" not in said


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/keys", "http://localhost/keys", "http://[::1]/keys"])
def test_keys_may_come_in_the_open_from_this_machine(url: str) -> None:
    assert parsed(ADA, issuers=[{**ISSUER, "jwks_url": url}])


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"name": "slots", "spiffe_ids": ["spiffe://casino.example/x"]}, "two callers are called slots"),
        ({"name": "reels", "spiffe_ids": [ID]}, f"two callers are known by SPIFFE id {ID}"),
        (
            {"name": "reels", "certificate_subjects": ["CN=a", "CN=\\61"]},
            "two callers are known by subject CN=a",
        ),
        (
            {"name": "reels", "certificate_dns_names": ["a.example", "A.example"]},
            "two callers are known by DNS name a.example",
        ),
    ],
)
def test_an_identity_is_one_callers(second: dict[str, Any], says: str) -> None:
    assert says in refusal(SLOTS, second)


def test_a_tokens_subject_is_one_callers() -> None:
    assert "two callers are known by token of https://login.example ada" in refusal(
        ADA, {**ADA, "name": "bob"}, issuers=[ISSUER]
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "callers.yaml"),
        (b"callers: []", "callers"),
        (b"callers: [", "no YAML"),
        (b"\xff\xfe\x00", "callers.yaml"),
        (b"callers: []\ncallers: []", "'callers' stands twice"),
        (b"a: &a [x]\nb: *a", "aliases are not allowed"),
        (b"!!python/object/apply:os.system ['true']", "no YAML"),
        (b"[" * 5000, "no YAML"),
    ],
)
def test_what_is_no_such_file_is_refused(text: bytes, says: str) -> None:
    with pytest.raises(CallersFileRefused, match=r"callers\.yaml") as refused:
        parse_callers(text, name="callers.yaml")

    assert says in str(refused.value)
