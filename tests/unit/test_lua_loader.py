"""How scripts are composed: every include once, before its use, and named by its content."""

import hashlib
import re
from collections.abc import Iterator

import pytest
import redis

from lua import load_script, script_names
from persistence.forgetting import FORGETTING_SCRIPTS
from persistence.valkey.engine import SCRIPTS
from service.embedded import EmbeddedValkey
from tests.lua_includes import include, include_names

COMMANDS = re.compile(r"redis\.call\('([A-Z]+)'")
READS = {"GET", "GETRANGE", "HGET", "HGETALL", "HSCAN", "TIME"}


@pytest.fixture(scope="module")
def store(valkey: EmbeddedValkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


def test_there_are_the_scripts_that_the_engine_runs() -> None:
    run_on_players = {script.name for script in (*SCRIPTS, *FORGETTING_SCRIPTS)}

    assert set(script_names()) == run_on_players | {"close_partition", "take_over"}


@pytest.mark.parametrize("name", script_names())
def test_valkey_names_a_script_as_the_loader_does(store: "redis.Redis", name: str) -> None:
    script = load_script(name)

    assert store.script_load(script.source) == script.sha1
    assert hashlib.sha1(script.source.encode()).hexdigest() == script.sha1


@pytest.mark.parametrize("name", script_names())
def test_no_include_is_left_open_and_none_comes_twice(name: str) -> None:
    source = load_script(name).source
    functions = re.findall(r"^local function (\w+)", source, re.MULTILINE)

    assert "-- include:" not in source
    assert len(functions) == len(set(functions))


def test_every_include_is_part_of_a_script() -> None:
    sources = [load_script(name).source for name in script_names()]
    bodies = {
        name: re.sub(r"^-- include: .*\n", "", include(name), flags=re.MULTILINE) for name in include_names()
    }

    assert [name for name, body in bodies.items() if not any(body in source for source in sources)] == []


@pytest.mark.parametrize("name", script_names())
def test_no_script_makes_a_key(name: str) -> None:
    calls = re.findall(r"redis\.call\('\w+'(?:, ([^,)]+))?", load_script(name).source)

    assert calls
    assert all(key == "" or re.fullmatch(r"KEYS\[[1-7]\]|key|'STREAM'", key) for key in calls)


@pytest.mark.parametrize("name", ["find_old", "read_player"])
def test_a_script_that_reads_writes_nothing(name: str) -> None:
    assert set(COMMANDS.findall(load_script(name).source)) <= READS


@pytest.mark.parametrize("name", script_names())
def test_a_script_sets_no_global(name: str) -> None:
    assigned = re.findall(r"^(\w+) *=[^=]", load_script(name).source, re.MULTILINE)

    assert assigned == []


def test_an_unknown_script_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        load_script("no_such_script")
