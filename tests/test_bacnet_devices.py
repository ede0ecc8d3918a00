"""The simulated device, seen by a client of other people's: the library's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bacpypes3.apdu import ErrorRejectAbortNack, WritePropertyRequest
from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import Address, IPv4Address
from bacpypes3.primitivedata import CharacterString, Date, Null, ObjectIdentifier, Real, Time

from drivers.clock import Clock
from site_sims.bacnet_devices import Behaviour, serve_bacnet
from site_sims.field import Field
from tests.bacnet_field import INSTANCE, Bench, bench, field_device


@asynccontextmanager
async def stock(clock: Clock, **options: Any) -> AsyncIterator[tuple[Bench, NormalApplication, Address]]:
    """A served device and a stock client with its address."""
    async with bench(clock, **options) as b:
        device = DeviceObject(
            objectIdentifier=("device", 9), objectName="client", segmentationSupported="segmentedBoth"
        )
        app = NormalApplication(device, IPv4Address(("127.0.0.1", 0)))
        try:
            yield b, app, Address(f"127.0.0.1:{b.device.port}")
        finally:
            app.close()
            await asyncio.sleep(0)


async def test_it_is_found_by_who_is(clock: Clock) -> None:
    async with stock(clock) as (_, app, address):
        (found,) = await app.who_is(INSTANCE, INSTANCE, address=address)
        assert str(found.iAmDeviceIdentifier) == f"device,{INSTANCE}"
        assert found.maxAPDULengthAccepted == 1476
        assert await app.who_is(1, 2, address=address) == []


async def test_its_device_object_tells_what_the_standard_asks(clock: Clock) -> None:
    async with stock(clock) as (_, app, address):
        device = f"device,{INSTANCE}"
        expected = {
            "object-name": "box",
            "vendor-name": "Plenum",
            "protocol-version": "1",
            "segmentation-supported": "no-segmentation",
            "system-status": "operational",
            "max-apdu-length-accepted": "1476",
            "device-address-binding": "[]",
            "local-date": str(Date((123, 2, 6, 1))),
            "local-time": str(Time((0, 0, 0, 0))),
        }
        for prop, value in expected.items():
            assert str(await app.read_property(address, device, prop)) == value, prop
        services = await app.read_property(address, device, "protocol-services-supported")
        assert services["read-property-multiple"]
        assert services["subscribe-cov"]
        assert not services["write-property-multiple"]


async def test_its_objects_are_listed_whole_and_one_by_one(clock: Clock) -> None:
    async with stock(clock) as (_, app, address):
        device = f"device,{INSTANCE}"
        objects = await app.read_property(address, device, "object-list")
        assert [str(found) for found in objects][:3] == [device, "analog-input,1", "analog-value,1"]
        assert await app.read_property(address, device, "object-list", 0) == 7 == len(objects)
        assert await app.read_property(address, device, "object-list", 3) == objects[2]
        with pytest.raises(ErrorRejectAbortNack, match="invalid-array-index"):
            await app.read_property(address, device, "object-list", 8)


async def test_every_property_of_every_object_can_be_read_in_one_request(clock: Clock) -> None:
    async with stock(clock) as (_, app, address):
        names = ("analog-input,1", "analog-value,1", "binary-value,1", "binary-input,1", "multi-state-value,1")
        for name in names:
            found = await app.read_property_multiple(address, [ObjectIdentifier(name), ["all"]])
            read = {str(prop): value for _, prop, _, value in found}
            assert not [value for value in read.values() if isinstance(value, ErrorRejectAbortNack)]
            assert {"object-identifier", "object-name", "object-type", "present-value", "status-flags"} <= set(read)
            assert len(read) == len(found)
        assert str(read["object-name"]) == "ahu.mode"
        assert read["priority-array"][12].null == ()


async def test_a_command_is_held_at_its_priority_and_given_back(clock: Clock) -> None:
    async with stock(clock) as (b, app, address):
        await app.write_property(address, "analog-value,1", "present-value", Real(21.5), priority=13)
        await app.write_property(address, "analog-value,1", "present-value", Real(23.0), priority=8)
        assert await app.read_property(address, "analog-value,1", "present-value") == 23.0
        slots = await app.read_property(address, "analog-value,1", "priority-array")
        assert (slots[7].real, slots[12].real) == (23.0, 21.5)
        assert (await app.read_property(address, "analog-value,1", "priority-array", 13)).real == 21.5
        await app.write_property(address, "analog-value,1", "present-value", Null(()), priority=8)
        await app.write_property(address, "analog-value,1", "present-value", Null(()), priority=13)
        assert await app.read_property(address, "analog-value,1", "present-value") == 20.0
        assert b.field["hall.setpoint"].holder is None


@pytest.mark.parametrize(
    ("target", "prop", "value", "priority", "answer"),
    [
        ("analog-input,1", "present-value", Real(21.0), None, "write-access-denied"),
        ("analog-value,1", "present-value", Real(60.0), 13, "value-out-of-range"),
        ("analog-value,1", "present-value", Real(float("nan")), 13, "value-out-of-range"),
        ("analog-value,1", "present-value", Real(float("inf")), 13, "value-out-of-range"),
        ("analog-value,1", "present-value", Real(21.0), 6, "write-access-denied"),
        ("analog-value,1", "present-value", Real(21.0), 17, "parameter-out-of-range"),
        ("analog-value,1", "relinquish-default", Real(21.0), None, "write-access-denied"),
        ("analog-value,9", "present-value", Real(21.0), None, "unknown-object"),
        ("analog-value,1", "profile-name", "x", None, "unknown-property"),
    ],
)
async def test_what_is_wrong_is_refused_in_the_standard_s_words(
    clock: Clock, *, target: str, prop: str, value: object, priority: int | None, answer: str
) -> None:
    async with stock(clock) as (b, app, address):
        with pytest.raises(ErrorRejectAbortNack, match=answer):
            await app.write_property(address, target, prop, value, priority=priority)
        assert b.field["hall.setpoint"].holder is None


async def test_the_wrong_type_is_refused(clock: Clock) -> None:
    async with stock(clock) as (_, app, address):
        request = WritePropertyRequest(
            objectIdentifier=ObjectIdentifier("analog-value,1"),
            propertyIdentifier="present-value",
            propertyValue=CharacterString("warm"),
            priority=13,
            destination=address,
        )
        with pytest.raises(ErrorRejectAbortNack, match="invalid-data-type"):
            await app.request(request)


async def test_unknown_objects_and_properties_are_told_apart(clock: Clock) -> None:
    async with stock(clock) as (_, app, address):
        for target, prop, answer in (
            ("analog-input,77", "present-value", "unknown-object"),
            ("analog-input,1", "priority-array", "unknown-property"),
        ):
            with pytest.raises(ErrorRejectAbortNack, match=answer):
                await app.read_property(address, target, prop)
        found = await app.read_property_multiple(
            address,
            [
                ObjectIdentifier("analog-input,77"),
                ["present-value"],
                ObjectIdentifier("analog-input,1"),
                ["present-value"],
            ],
        )
        missing, present = [value for *_, value in found]
        assert (str(missing.errorClass), str(missing.errorCode)) == ("object", "unknown-object")
        assert present == 19.5


@pytest.mark.parametrize("confirmed", [True, False])
async def test_changes_are_reported(clock: Clock, *, confirmed: bool) -> None:
    async with stock(clock) as (b, app, address):
        target = ObjectIdentifier("analog-value,1")
        async with app.change_of_value(address, target, 1, confirmed, 60) as reports:
            prop, value = await reports.get_value()
            assert (str(prop), value) == ("present-value", 20.0)
            assert str((await reports.get_value())[0]) == "status-flags"
            b.field["hall.setpoint"].write(22.0, 15)
            assert (await reports.get_value())[1] == 22.0
            assert str((await reports.get_value())[0]) == "status-flags"
            assert b.server.subscriptions == 1
        assert b.server.subscriptions == 0


async def test_a_subscription_runs_out(clock: Clock) -> None:
    async with bench(clock) as b, b.driver(cov=("test.hall.setpoint",), cov_lifetime_s=20) as driver:
        changes = driver.changes()
        assert (await anext(changes)).value == 20.0
        await asyncio.sleep(21)  # nobody renews
        b.field["hall.setpoint"].write(22.0, 15)
        assert b.server.subscriptions == 0
        await changes.aclose()  # type: ignore[attr-defined]  # a generator


async def test_a_report_that_nobody_acknowledges_is_repeated_and_given_up(clock: Clock) -> None:
    heard: list[bytes] = []

    class Deaf(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            heard.append(data)

    async with bench(clock) as b:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Deaf, remote_addr=("127.0.0.1", b.device.port))
        subscribe = bytes.fromhex("00050105 0901 1c00800001 2901 3a012c".replace(" ", ""))
        transport.sendto(b"\x81\x0a" + (6 + len(subscribe)).to_bytes(2, "big") + b"\x01\x04" + subscribe)
        await asyncio.sleep(60)
        transport.close()
        await asyncio.sleep(0)
    assert heard[0][6] == 0x20  # the acknowledgement
    assert len(heard) == 4  # the report and two repetitions
    assert heard[1] == heard[2] == heard[3]


async def test_an_unplugged_device_is_silent(clock: Clock) -> None:
    async with stock(clock) as (b, app, address):
        b.device.reachable = False
        with pytest.raises(ErrorRejectAbortNack, match="no-response"):
            await app.read_property(address, "analog-input,1", "present-value")


async def test_what_does_not_fit_is_aborted(clock: Clock) -> None:
    behaviour = Behaviour(max_apdu=206)
    async with stock(clock, behaviour=behaviour, device=field_device(extra=100)) as (_, app, address):
        with pytest.raises(ErrorRejectAbortNack, match="segmentation-not-supported"):
            await app.read_property(address, f"device,{INSTANCE}", "object-list")


async def test_rubbish_on_the_wire_harms_nothing(clock: Clock) -> None:
    async with bench(clock) as b, b.driver() as driver:
        with_noise = [b"", b"\x81", b"\x81\x0a\x00\x04", b"\x81\x0a\x00\x08\x01\x80\x00\x00", b"\x01" * 40]
        head = b"\x81\x0a\x00\xff\x01\x04"
        with_noise += [head + bytes((0, 5, 1, service)) + b"\x0c" * 3 for service in range(30)]
        with_noise += [head + b"\x10\x08\x09", head + b"\x10", head + b"\x08\x05\x01\x0c\x00\x01"]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", b.device.port)
        )
        for noise in with_noise:
            transport.sendto(noise)
        await asyncio.sleep(1)
        transport.close()
        points = list(driver.points.values())
        assert [r.value for r in await driver.read(points)] == [19.5, 20.0, 0.0, 1.0, 0.0, 1.0]


async def test_a_field_with_several_devices_is_served_on_a_port_each(clock: Clock) -> None:
    devices = [field_device(), field_device()]
    devices[1].id, devices[1].instance = "other", 1002
    async with serve_bacnet(Field(devices), clock=clock) as servers:
        assert list(servers) == ["box", "other"]
        assert devices[0].port != devices[1].port
