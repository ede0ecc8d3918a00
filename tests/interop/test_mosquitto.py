"""The MQTT driver and the simulated devices against Mosquitto, in real time: what an in-process broker cannot prove."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.site import Point
from config.units import Unit
from drivers.base import Flags, NotReachable, Quality, priority
from drivers.clock import Clock
from drivers.mqtt.client import Client
from drivers.mqtt.driver import MqttDriver
from drivers.registry import Shared
from site_sims.building import build_field
from site_sims.mqtt_devices import serve_mqtt
from tests.interop.mosquitto import HOST, PORT, Mosquitto, authority, mosquitto, passwords
from tests.mqtt_bench import townhall

pytestmark = [pytest.mark.servers, pytest.mark.real_time]
OURS = priority(13)
LIGHT = Point(
    id="test.hall.light",
    unit=Unit.PERCENT,
    address="test/light/state#level",
    writable=True,
    low=0,
    high=100,
    options={"command_topic": "test/light/set", "command": '{"level": {value}}', "relinquish": '{"level": null}'},
)
HIDDEN = Point(id="test.hall.hidden", unit=Unit.PERCENT, address="secret/state#level")


@asynccontextmanager
async def opened(*points: Point, **options: object) -> AsyncIterator[MqttDriver]:
    """An open driver with a connection of its own."""
    settings = MqttDriver.Options.model_validate({"host": HOST, "port": PORT, **options})
    async with (
        Shared() as shared,
        MqttDriver(points or (LIGHT,), options=settings, clock=Clock.real(), shared=shared) as driver,
    ):
        yield driver


@asynccontextmanager
async def device(**options: object) -> AsyncIterator[tuple[Client, "asyncio.Queue[bytes]"]]:
    """Somebody else at the broker who hears commands."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    client = Client(HOST, PORT, deliver=lambda _, p, __: heard.put_nowait(p), lost=lambda *_: None, **options)
    await client.open()
    try:
        await client.listen({"test/light/set": 1})
        yield client, heard
    finally:
        await client.close()


async def test_readings_and_commands_pass_through(tmp_path: Path) -> None:
    async with mosquitto(tmp_path), device() as (other, heard):
        await other.send("test/light/state", '{"level": 20}', retain=True)
        async with opened() as driver:
            (reading,) = await driver.read([LIGHT])
            assert (reading.value, reading.quality) == (20, Quality.GOOD)
            await driver.write(LIGHT, 60.0, OURS)
            assert await asyncio.wait_for(heard.get(), 5) == b'{"level": 60}'
            await other.send("test/light/state", '{"level": 60}', retain=True)
            assert (await driver.read_back(LIGHT, OURS)).present == 60
            await driver.relinquish(LIGHT, OURS)
            assert await asyncio.wait_for(heard.get(), 5) == b'{"level": null}'


async def test_the_simulated_town_hall_lives_at_mosquitto_too(tmp_path: Path) -> None:
    site = townhall(port=PORT)
    field, clock = build_field(site), Clock.real()
    lighting = next(described for described in site.devices if described.id == "lighting")
    async with mosquitto(tmp_path), serve_mqtt(field, site.devices, clock=clock, port=PORT):
        await asyncio.sleep(0.5)
        async with opened(*lighting.points) as driver:
            assert {r.quality for r in await driver.read(lighting.points)} == {Quality.GOOD}
            await driver.write(lighting.points[3], 35.0, OURS)
            assert (await driver.read_back(lighting.points[3], OURS)).present == 35
            assert field["reception.light_level"].holder == 13


async def test_the_right_password_opens_and_a_wrong_one_is_said_clearly(tmp_path: Path) -> None:
    users = passwords(tmp_path, plenum="a good secret")
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("a good secret\n")
    wrong.write_text("a guess\n")
    async with mosquitto(tmp_path, f"allow_anonymous false\npassword_file {users}\n"):
        async with opened(username="plenum", password_file=str(right)):
            pass
        for options in ({"username": "plenum", "password_file": str(wrong)}, {"username": "plenum"}, {}):
            with pytest.raises(NotReachable, match=r"the broker refuses us.*check identifier, username and password"):
                async with opened(**options):
                    pass


async def test_what_the_access_list_forbids_is_not_heard_and_harms_no_other(tmp_path: Path) -> None:
    access, secret = tmp_path / "acl", tmp_path / "secret"
    access.write_text("user plenum\ntopic readwrite test/#\nuser other\ntopic readwrite #\n")
    secret.write_text("p")
    settings = f"allow_anonymous false\npassword_file {passwords(tmp_path, plenum='p', other='p')}\nacl_file {access}\n"
    async with mosquitto(tmp_path, settings), device(username="other", password="p") as (other, _):
        await other.send("test/light/state", '{"level": 20}', retain=True)
        await other.send("secret/state", '{"level": 30}', retain=True)
        async with opened(LIGHT, HIDDEN, username="plenum", password_file=str(secret)) as driver:
            seen, hidden = await driver.read([LIGHT, HIDDEN])
    assert seen.value == 20
    assert (hidden.value, hidden.quality) == (None, Quality.BAD)
    assert hidden.flags & (Flags.NO_ANSWER | Flags.UNKNOWN_POINT)


async def test_tls_proves_both_ends(tmp_path: Path) -> None:
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")
    cert, key = ours.certificate("broker")
    client_cert, client_key = ours.certificate("plenum")
    settings = (
        f"cafile {ours.ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\nuse_identity_as_username true\n"
    )
    proof = {"cert_file": str(client_cert), "key_file": str(client_key)}
    async with mosquitto(tmp_path, settings):
        async with opened(tls={"ca_file": str(ours.ca), **proof}) as driver:
            await driver.write(LIGHT, 10.0, OURS)
        with pytest.raises(NotReachable, match="CERTIFICATE_VERIFY_FAILED"):
            async with opened(tls={"ca_file": str(theirs.ca), **proof}):
                pass
        with pytest.raises(NotReachable, match="hung up"):  # which depends on the version of TLS
            async with opened(tls={"ca_file": str(ours.ca)}):
                pass
        with pytest.raises(NotReachable, match="no-such-file"):
            async with opened(tls={"ca_file": str(tmp_path / "no-such-file")}):
                pass


async def test_a_restart_of_the_broker_is_survived(tmp_path: Path) -> None:
    settings = MqttDriver.Options(host=HOST, port=PORT, identifier="plenum", keepalive=10)
    async with mosquitto(tmp_path) as server, Shared() as shared:
        async with device() as (other, _):
            await other.send("test/light/state", '{"level": 20}', retain=True)
        made = [MqttDriver((LIGHT,), options=settings, clock=Clock.real(), shared=shared) for _ in range(2)]
        async with made[0] as driver:
            before = (await driver.read([LIGHT]))[0]
            await server.stop()
            with pytest.raises(NotReachable, match="connection lost"):
                async for _ in driver.changes():
                    pass
        await server.start()
        async with made[1] as driver, device() as (other, _):
            (after,) = await driver.read([LIGHT])
            assert (after.value, after.time) == (20, before.time)  # kept by the broker, and no news
            await other.send("test/light/state", '{"level": 30}', retain=True)
            async for reading in driver.changes():
                if reading.value == 30:
                    break


async def test_a_command_reaches_a_device_that_was_away_while_the_broker_restarted(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as server:
        async with device(identifier="dimmer"):
            pass  # the broker knows it now
        async with opened() as driver:
            await driver.write(LIGHT, 45.0, OURS)  # acknowledged: the broker answers for it from here
        await server.stop()
        await server.start()
        async with device(identifier="dimmer") as (_, heard):
            assert await asyncio.wait_for(heard.get(), 5) == b'{"level": 45}'


@pytest.mark.parametrize("more", [{}, {"will": {"topic": "test/plenum"}}])
async def test_what_was_said_while_we_were_away_is_heard_later_with_its_time(
    tmp_path: Path, more: dict[str, object]
) -> None:
    point = LIGHT.model_copy(update={"options": {**LIGHT.options, "time": "time"}})
    async with mosquitto(tmp_path), device() as (other, _):
        async with opened(point, identifier="plenum", **more):
            pass
        for minute in range(5):
            await other.send("test/light/state", f'{{"level": {minute}, "time": "2023-02-06T12:0{minute}:00Z"}}')
        async with opened(point, identifier="plenum", **more) as driver:
            heard = []
            async for reading in driver.changes():
                heard.append((reading.time.minute, reading.value))
                if len(heard) == 5:
                    break
    assert heard == [(minute, float(minute)) for minute in range(5)]


@pytest.mark.timeout(60)
async def test_a_broker_that_froze_is_noticed_within_one_and_a_half_keepalives(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with mosquitto(tmp_path) as server, opened(keepalive=10) as driver:
        server.freeze()
        begun = loop.time()
        with pytest.raises(NotReachable, match="connection lost"):
            async for _ in driver.changes():
                pass
        assert 7 <= loop.time() - begun <= 17


async def test_a_thousand_messages_arrive_in_order_and_none_is_lost(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as server, device() as (other, _), opened() as driver:
        assert isinstance(server, Mosquitto)

        async def tell() -> None:
            for level in range(1000):
                await other.send("test/light/state", f'{{"level": {level}}}', qos=level % 2)

        heard: list[float | None] = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(tell(), name="tell")
            async for reading in driver.changes():
                heard.append(reading.value)
                if reading.value == 999:
                    break
    assert heard == [float(level) for level in range(1000)]
