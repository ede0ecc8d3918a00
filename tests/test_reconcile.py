"""First contact with a device: what is ours stays, what nobody answers for is handed back, nothing is sent twice."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from controller.leases import Intent
from controller.reconcile import Found, Verdict, hand_back, reconcile_device, verdict
from controller.store.base import Lease
from drivers.base import Can, Command, NotReachable, ReadBack, Rejected, priority
from drivers.clock import Clock
from tests.controlled import FieldDriver, MemoryAudit, MemoryLeases, field_of, small_site

LIGHT = {"unit": "%", "address": "x", "writable": True, "low": 0, "high": 100}
SITE = small_site(
    {
        "lights": [
            *({"id": f"b.hall.{name}", **LIGHT} for name in "abc"),
            {"id": "b.bms.heartbeat", "role": "heartbeat", **LIGHT, "unit": "count"},
            {"id": "b.hall.sensor", "unit": "%", "address": "x"},
        ]
    }
)
DEVICE = SITE.devices[0]
A, B, C, BEAT = (SITE.points[name] for name in ("b.hall.a", "b.hall.b", "b.hall.c", "b.bms.heartbeat"))
P13 = priority(13)


@dataclass
class Scene:
    clock: Clock
    leases: MemoryLeases
    audit: MemoryAudit = field(default_factory=MemoryAudit)

    def __post_init__(self) -> None:
        self.box = field_of(SITE).devices["lights"]
        self.driver = FieldDriver(DEVICE, self.box, self.clock)

    def lease(self, point: str, value: float, *, minutes: float = 10, slot: int = 13) -> Lease:
        return Lease(
            point=point,
            device="lights",
            priority=slot,
            value=value,
            expires=self.clock.now() + timedelta(minutes=minutes),
            decision="plan-1",
            epoch=1,
        )

    def put(self, point: str, value: float, slot: int = 13) -> None:
        self.box.objects[point].write(value, slot)

    def slots(self) -> list[float | None]:
        return [self.box.objects[p.id].array[12] for p in (A, B, C, BEAT)]

    async def reconcile(self, *, clear_unknown: bool = True) -> Found:
        return await reconcile_device(
            DEVICE,
            self.driver,
            leases=self.leases,
            audit=self.audit,
            clock=self.clock,
            clear_unknown=clear_unknown,
        )


@pytest.fixture
def scene(clock: Clock) -> Scene:
    return Scene(clock, MemoryLeases(clock, epoch=1, disk_epoch=1))


async def test_a_live_lease_answers_for_its_value(scene: Scene) -> None:
    scene.put(A.id, 40.0)
    scene.leases.rows[A.id] = scene.lease(A.id, 40.0)
    found = await scene.reconcile()
    assert scene.slots()[0] == 40.0
    assert list(found.kept) == [A.id]
    assert found.relinquished == []
    assert A.id in scene.leases.rows


async def test_what_nobody_answers_for_is_handed_back(scene: Scene) -> None:
    for point, value in ((A, 40.0), (B, 50.0), (C, 60.0), (BEAT, 7.0)):
        scene.put(point.id, value)
    scene.leases.rows[A.id] = scene.lease(A.id, 40.0, minutes=-1)  # run out
    scene.leases.rows[B.id] = scene.lease(B.id, 55.0)  # another value
    scene.leases.rows[BEAT.id] = scene.lease(BEAT.id, 7.0)  # a dead run's heartbeat
    found = await scene.reconcile()
    assert scene.slots() == [None] * 4
    assert found.relinquished == [A.id, B.id, C.id, BEAT.id]
    assert scene.leases.rows == {}
    assert [(e.subject, e.old, e.reason) for e in scene.audit.entries][1:3] == [
        (B.id, "50", "its lease has run out"),
        (C.id, "60", "no live lease answers for it"),
    ]
    assert all(back.slot is None for back in found.backs.values())


async def test_in_advisory_mode_only_what_was_leased_is_handed_back(scene: Scene) -> None:
    scene.put(A.id, 40.0)
    scene.put(B.id, 50.0)
    scene.leases.rows[A.id] = scene.lease(A.id, 40.0, minutes=-1)
    await scene.reconcile(clear_unknown=False)
    assert scene.slots()[:2] == [None, 50.0]


async def test_a_lease_whose_slot_is_empty_is_forgotten(scene: Scene) -> None:
    scene.leases.rows[A.id] = scene.lease(A.id, 40.0)
    found = await scene.reconcile()
    assert scene.leases.rows == {}
    assert (found.kept, found.relinquished) == ({}, [])
    assert [asked for asked in scene.driver.asked if asked.startswith("relinquish")] == []


async def test_a_slot_that_commissioning_has_changed_is_handed_back_where_it_was(scene: Scene) -> None:
    scene.put(A.id, 40.0, slot=14)
    scene.leases.rows[A.id] = scene.lease(A.id, 40.0, slot=14)
    await scene.reconcile()
    assert scene.box.objects[A.id].array == [None] * 16


async def test_the_operators_and_the_buildings_values_stay(scene: Scene) -> None:
    scene.put(A.id, 10.0, slot=8)
    scene.put(A.id, 20.0, slot=15)
    scene.put(A.id, 30.0)
    await scene.reconcile()
    held = {n: v for n, v in enumerate(scene.box.objects[A.id].array, 1) if v is not None}
    assert held == {8: 10.0, 15: 20.0}


def intent(scene: Scene, point: str, value: float | None, device: str = "lights") -> Intent:
    return Intent(
        command=Command(
            point=point, value=value, priority=P13, expires=scene.clock.now(), reason="r", source="optimiser"
        ),
        device=device,
        decision="plan-1",
    )


async def test_open_commands_are_answered_by_reading_never_by_sending_again(scene: Scene) -> None:
    scene.put(A.id, 40.0)
    scene.leases.rows |= {p.id: scene.lease(p.id, 40.0) for p in (A, B)}
    await scene.leases.intend(
        [
            intent(scene, A.id, 40.0),
            intent(scene, B.id, 40.0),
            intent(scene, C.id, None),
            intent(scene, "b.hall.gone", 1.0),
            intent(scene, "b.hall.x", 1.0, device="elsewhere"),
        ]
    )
    await scene.reconcile()
    results = [result for _, result in scene.leases.commands.values()]
    assert results == ["applied", "rejected", "applied", "unknown", None]
    assert [asked for asked in scene.driver.asked if asked.startswith("write")] == []


async def test_a_point_that_cannot_be_handed_back_keeps_its_lease(scene: Scene) -> None:
    class Stubborn(FieldDriver):
        async def relinquish(self, point: object, priority: object) -> None:
            raise Rejected("not today")

    scene.put(A.id, 40.0)
    scene.leases.rows[A.id] = scene.lease(A.id, 40.0, minutes=-1)
    scene.driver = Stubborn(DEVICE, scene.box, scene.clock)
    found = await scene.reconcile()
    assert found.failed == [A.id]
    assert list(found.stuck) == [A.id]
    assert A.id in scene.leases.rows
    assert B.id in found.backs


async def test_a_device_lost_on_the_way_is_told(scene: Scene) -> None:
    scene.box.reachable = False
    with pytest.raises(NotReachable):
        await scene.reconcile()


async def test_a_lease_of_a_point_no_longer_in_the_site_file_is_told_and_dropped(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.leases.rows["b.hall.gone"] = scene.lease("b.hall.gone", 40.0)
    await scene.reconcile()
    assert scene.leases.rows == {}
    assert "b.hall.gone: leased, but no longer in the site file" in caplog.text


def test_without_an_array_only_the_lease_tells(clock: Clock) -> None:
    now = clock.epoch
    lease = Lease(
        point=A.id, device="lights", priority=13, value=40.0, expires=now + timedelta(1), decision="", epoch=1
    )
    assert verdict(A, ReadBack(present=40.0, slot=None), None, now) is Verdict.NOTHING
    assert verdict(A, ReadBack(present=40.0, slot=None), lease, now) is Verdict.KEEP
    assert verdict(A, ReadBack(present=50.0, slot=None), lease, now) is Verdict.CLEAR
    assert verdict(A, ReadBack(present=40.0, slot=None), lease, lease.expires) is Verdict.CLEAR


async def test_handing_back_takes_the_best_way_the_device_has(scene: Scene) -> None:
    scene.put(A.id, 40.0)
    await hand_back(scene.driver, A, P13)
    assert scene.slots()[0] is None
    scene.driver.can = Can.READ | Can.WRITE
    await hand_back(scene.driver, A.model_copy(update={"safe_value": 100.0}), P13)
    assert scene.slots()[0] == 100.0
    with pytest.raises(Rejected, match="safe_value"):
        await hand_back(scene.driver, A, P13)
    scene.driver.can = Can(0)
    with pytest.raises(NotReachable):
        await hand_back(scene.driver, A, P13)
