"""The shared socket and the traps of the protocol library behind it."""

import asyncio
import socket

import pytest
from bacpypes3.apdu import DeviceCommunicationControlRequest
from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.analog import AnalogInputObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import IPv4Address
from pydantic import ValidationError

from config.site import Point
from drivers.bacnet.access import Refused, TooLarge
from drivers.bacnet.application import Port, open_port
from drivers.bacnet.codec import read_multiple_ack, read_multiple_request, read_request
from drivers.bacnet.driver import BacnetDriver, BacnetOptions
from drivers.bacnet.messages import Service
from drivers.base import NotReachable, Rejected, priority
from drivers.clock import Clock
from drivers.registry import Shared
from site_sims.bacnet_devices import Behaviour
from tests.bacnet_field import ENABLE, MODE, SETPOINT, TEMPERATURE, Bench, bench

PRESENT_TEMPERATURE = read_request(1, 85)


async def port_of(b: Bench) -> Port:
    return await open_port(b.shared, "127.0.0.1", 0)


async def test_a_taken_port_is_told_at_once(clock: Clock) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        async with bench(clock) as b:
            with pytest.raises(NotReachable, match=f"127.0.0.1:{number}.*choose another `bind`"):
                async with b.driver(bind=f"127.0.0.1:{number}"):
                    pass


async def test_our_port_cannot_be_shared_by_a_second_process(clock: Clock) -> None:
    async with bench(clock) as b:
        port = await port_of(b)
        number = port.link.server.local_address[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                second.bind(("127.0.0.1", number))


async def test_a_bad_address_to_bind_is_told(clock: Clock) -> None:
    async with bench(clock) as b:
        with pytest.raises(NotReachable, match=r"192\.0\.2\.1"):
            async with b.driver(bind="192.0.2.1:0"):
                pass


async def test_devices_that_open_together_share_one_socket(clock: Clock) -> None:
    async with bench(clock) as b:
        drivers = [b.driver() for _ in range(5)]
        async with asyncio.TaskGroup() as tasks:
            for number, driver in enumerate(drivers):
                tasks.create_task(driver.__aenter__(), name=f"open:{number}")
        assert [(await driver.read([TEMPERATURE]))[0].value for driver in drivers] == [19.5] * 5
        for driver in drivers:
            await driver.__aexit__(None, None, None)


async def test_the_wrong_device_is_refused(clock: Clock) -> None:
    async with bench(clock) as b:
        with pytest.raises(Rejected, match="not as device 7"):
            async with b.driver(instance=7):
                pass


def test_a_device_on_our_own_port_of_this_machine_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="give `bind` another port"):
        BacnetOptions(address="127.0.0.2:47808", instance=1, bind="127.0.0.1:47808")
    BacnetOptions(address="127.0.0.2:47809", instance=1, bind="127.0.0.1:47808")


@pytest.mark.parametrize("address", ["heat-pump.example", "10.0.0.300", "10.0.0.3:70000", "10.0.0.3:x", ""])
def test_an_address_that_is_none_says_what_to_write(address: str) -> None:
    with pytest.raises(ValidationError, match=r"write one such as 192\.168\.1\.20:47808"):
        BacnetOptions(address=address, instance=1)


@pytest.mark.parametrize("limit", [0, 65, 257])
def test_no_configuration_allows_a_flood(limit: int) -> None:
    with pytest.raises(ValidationError):
        BacnetOptions(address="10.0.0.3", instance=1, max_in_flight=limit)


async def test_the_257th_open_request_fails_and_the_loop_goes_on(clock: Clock) -> None:
    async with bench(clock) as b:
        b.device.reachable = False
        port = await port_of(b)
        address = IPv4Address(("127.0.0.1", b.device.port))
        failures: list[str] = []

        async def ask() -> None:
            try:
                await port.access.ask(address, Service.READ_PROPERTY, PRESENT_TEMPERATURE, timeout_s=1.0, retries=0)
            except NotReachable as err:
                failures.append(str(err))

        async with asyncio.TaskGroup() as tasks:
            for number in range(257):
                tasks.create_task(ask(), name=f"ask:{number}")
        assert len(failures) == 257
        assert "256 requests" in failures[0]
        assert len(port.access.clientTransactions) == 0


async def test_a_cancelled_request_leaves_no_transaction_and_no_timer(clock: Clock) -> None:
    async with bench(clock) as b:
        b.device.reachable = False
        port = await port_of(b)
        address = IPv4Address(("127.0.0.1", b.device.port))
        request = port.access.ask(address, Service.READ_PROPERTY, PRESENT_TEMPERATURE, timeout_s=1.0, retries=5)
        asking = asyncio.create_task(request, name="ask")
        await asyncio.sleep(2.5)
        (transaction,) = port.access.clientTransactions
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert port.access.clientTransactions == []
        assert transaction._timer_handle is None
        b.device.reachable = True
        await asyncio.sleep(10)
        assert b.server.requests == 0


async def test_a_late_answer_is_not_taken_for_another(clock: Clock) -> None:
    async with bench(clock, behaviour=Behaviour(delay_s=5.0)) as b:
        port = await port_of(b)
        address = IPv4Address(("127.0.0.1", b.device.port))
        with pytest.raises(NotReachable):
            await port.access.ask(address, Service.READ_PROPERTY, PRESENT_TEMPERATURE, timeout_s=1.0, retries=0)
        answer = await port.access.ask(
            address, Service.READ_PROPERTY, read_request(2 << 22 | 1, 85), timeout_s=6.0, retries=0
        )
        assert answer[1:5] == (2 << 22 | 1).to_bytes(4, "big")


async def test_errors_rejects_and_aborts_become_ours(clock: Clock) -> None:
    async with bench(clock, behaviour=Behaviour(max_apdu=50)) as b:
        port = await port_of(b)
        address = IPv4Address(("127.0.0.1", b.device.port))

        async def ask(service: int, body: bytes) -> bytes:
            return await port.access.ask(address, service, body, timeout_s=1.0, retries=0)  # type: ignore[arg-type]

        with pytest.raises(Refused, match="unknown-object") as error:
            await ask(Service.READ_PROPERTY, read_request(77, 85))
        assert error.value.error == (1, 31)
        with pytest.raises(Refused, match="unrecognized-service") as reject:
            await ask(27, b"")
        assert reject.value.reject == 9
        with pytest.raises(Refused, match="invalid-tag"):
            await ask(Service.READ_PROPERTY, b"\xff\xff")
        with pytest.raises(TooLarge, match="segmentation-not-supported"):
            await ask(Service.READ_PROPERTY, read_request(8 << 22 | 1001, 371))


async def test_a_stranger_can_neither_silence_nor_write_us(clock: Clock) -> None:
    async with bench(clock) as b, Shared() as other:
        port, stranger = await port_of(b), await open_port(other, "127.0.0.1", 0)
        ours = IPv4Address(port.link.server.local_address)
        with pytest.raises(Refused, match="unrecognized-service"):
            await stranger.access.ask(
                ours, 17, DeviceCommunicationControlRequest(enableDisable="disable").encode().pduData,
                timeout_s=1.0, retries=0,
            )  # fmt: skip
        async with b.driver() as driver:
            assert (await driver.read([TEMPERATURE]))[0].value == 19.5


async def test_an_unplugged_network_is_not_reachable_while_others_go_on(clock: Clock) -> None:
    async with bench(clock) as dead, bench(clock) as alive:
        dead.device.reachable = False
        async with alive.driver() as driver, asyncio.TaskGroup() as tasks:

            async def fails() -> None:
                with pytest.raises(NotReachable):
                    async with dead.driver():
                        pass

            for number in range(10):
                tasks.create_task(fails(), name=f"dead:{number}")
            assert (await driver.read([TEMPERATURE]))[0].value == 19.5


@pytest.mark.parametrize(
    ("target", "value", "why"),
    [
        (SETPOINT, 99.0, "value-out-of-range"),
        (ENABLE, 0.5, "neither 0 nor 1"),
        (ENABLE, 2.0, "neither 0 nor 1"),
        (MODE, 1.5, "whole number"),
        (MODE, -1.0, "unsigned"),
        (MODE, 4.0, "value-out-of-range"),
        (SETPOINT, 1e300, "Real"),
    ],
)
async def test_a_refused_value_is_rejected_with_the_reason(clock: Clock, target: Point, value: float, why: str) -> None:
    async with bench(clock) as b, b.driver() as driver:
        with pytest.raises(Rejected, match=f"{target.id}.*{why}"):
            await driver.write(target, value, priority(13))


async def test_binary_and_multistate_points_are_written_as_what_they_are(clock: Clock) -> None:
    async with bench(clock) as b, b.driver() as driver:
        await driver.write(ENABLE, 1.0, priority(14))
        await driver.write(MODE, 3.0, priority(14))
        assert (await driver.read_back(ENABLE, priority(14))).slot == 1.0
        assert (await driver.read_back(MODE, priority(14))).present == 3.0


@pytest.mark.parametrize("behaviour", [Behaviour(max_apdu=50), Behaviour(read_multiple=False)])
async def test_who_holds_a_point_is_read_from_simple_devices_too(clock: Clock, behaviour: Behaviour) -> None:
    async with bench(clock, behaviour=behaviour) as b, b.driver() as driver:
        b.field["hall.setpoint"].write(22.0, 8)
        await driver.write(SETPOINT, 21.0, priority(13))
        for _ in range(2):
            held = await driver.read_back(SETPOINT, priority(13))
            assert (held.present, held.slot, held.holder, held.default) == (22.0, 21.0, 8, 20.0)


async def test_a_sensor_has_no_array(clock: Clock) -> None:
    async with bench(clock) as b, b.driver() as driver:
        held = await driver.read_back(TEMPERATURE, priority(13))
    assert (held.present, held.slot, held.array, held.default) == (19.5, None, None, None)


async def test_reading_what_is_not_open_is_not_reachable(clock: Clock) -> None:
    async with bench(clock) as b:
        driver = b.driver()
        with pytest.raises(NotReachable, match="not open"):
            await driver.read([TEMPERATURE])
        with pytest.raises(NotReachable, match="not open"):
            await driver.write(SETPOINT, 20.0, priority(13))
        with pytest.raises(NotReachable, match="not open"):
            await driver.read_back(SETPOINT, priority(13))


def test_a_point_s_address_is_checked_before_anything_runs() -> None:
    BacnetDriver.check_address("analog-value,3")
    with pytest.raises(ValueError, match="type,instance"):
        BacnetDriver.check_address("AV3")


async def test_an_answer_in_segments_is_put_together(clock: Clock) -> None:
    peer = DeviceObject(
        objectIdentifier=("device", 5),
        objectName="segments",
        maxApduLengthAccepted=206,
        segmentationSupported="segmentedBoth",
        maxSegmentsAccepted=64,
    )
    server = NormalApplication(peer, IPv4Address(("127.0.0.1", 0)))
    for n in range(40):
        server.add_object(
            AnalogInputObject(objectIdentifier=("analog-input", n), objectName=f"z{n}", presentValue=float(n), units=62)
        )
    async with bench(clock) as b:
        access = (await port_of(b)).access
        await server.normal.server._local_transport_ready.wait()
        address = IPv4Address(server.normal.server.local_transport.get_extra_info("sockname"))
        body = read_multiple_request(range(40), (85,))
        answer = await access.ask(address, Service.READ_PROPERTY_MULTIPLE, body, timeout_s=1.5, retries=1)
    server.close()
    await asyncio.sleep(0)
    assert len(answer) > 3 * 206
    assert [read.value for read in read_multiple_ack(answer)] == [float(n) for n in range(40)]
