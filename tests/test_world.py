"""The buttons of the demonstration, on the simulated building and its real sockets."""

import asyncio
from pathlib import Path

import pytest

from config.load import load_site
from controller.learned import load
from controller.web.view import NotFound
from drivers.clock import Clock
from site_sims.building import NO_LIMIT_KW
from site_sims.demo import PacedButtons
from site_sims.prelude import SITE, beginning, live_before, model_file
from site_sims.virtual_time import VirtualTimeLoop
from site_sims.world import LIMIT_KW, OPERATOR_DEGC, Disturbances, World, busy_port, cut_device, world
from tests.shifted import shifted_site
from tests.town_hall_service import town_hall

ONE_HOUR = 3600.0


async def test_every_button_begins_and_ends_its_disturbance(tmp_path: Path) -> None:
    site = load_site(shifted_site(tmp_path, 900))
    building = live_before(site, seed=1, span=site.control.lease).building
    field = building.field
    async with world(building, Clock(beginning(site))) as living:
        buttons = Disturbances(site, living.press)
        states = {
            "boiler": lambda: field["boiler.fault"].value == 1.0,
            "operator": lambda: field["hall.heating_setpoint"].array[7] == OPERATOR_DEGC,
            "broker": lambda: not living.broker.is_running,
            "cable": lambda: not field.devices[cut_device(site)].reachable,
            "limit": lambda: field["grid.demand_limit"].value == LIMIT_KW,
        }
        assert set(states) == set(buttons.buttons)
        for name, disturbed in states.items():
            before = next(action for action in buttons.actions() if action.name == name)
            assert not disturbed()
            assert not before.active
            await buttons.act(name)
            after = next(action for action in buttons.actions() if action.name == name)
            assert disturbed()
            assert after.active
            assert after.label != before.label
            await buttons.act(name)
            assert not disturbed()
        assert field["grid.demand_limit"].value == NO_LIMIT_KW
        with pytest.raises(LookupError):
            await buttons.act("earthquake")
        with pytest.raises(LookupError):
            await living.press("earthquake", True)


async def test_the_building_lives_on_the_wire_and_names_what_is_ours(tmp_path: Path) -> None:
    site = load_site(shifted_site(tmp_path, 900))
    building = live_before(site, seed=1, span=site.control.lease).building
    clock = Clock(beginning(site))
    async with world(building, clock) as living:
        assert isinstance(living, World)
        await asyncio.sleep(ONE_HOUR)
        assert (building.time - beginning(site)).total_seconds() == pytest.approx(ONE_HOUR, abs=60)
        assert living.ours() == []
        building.field["hall.heating_setpoint"].write(21.0, 13)
        assert living.ours() == ["hall.heating_setpoint"]
        assert "TCP port" in busy_port(site) or "UDP port" in busy_port(site)
    assert busy_port(site) == ""


def test_the_shipped_model_was_accepted_for_every_zone() -> None:
    site = load_site(SITE)
    learned = load(model_file(site), site)
    assert learned.accepted_at is not None
    assert all(model.fitted_rmse_k is not None and model.fitted_rmse_k < 1.0 for model in learned.zones.values())


async def test_a_building_that_is_real_has_no_buttons(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        assert hall.backend.now().actions == ()
        with pytest.raises(NotFound, match="real"):
            await hall.backend.act("boiler")


async def test_buttons_are_pressed_through_the_page(tmp_path: Path) -> None:
    pressed: list[tuple[str, bool]] = []

    async def press(name: str, begins: bool) -> None:  # noqa: FBT001  the state asked for
        pressed.append((name, begins))

    site = load_site(shifted_site(tmp_path, 900))
    async with town_hall(tmp_path, actions=Disturbances(site, press)) as hall:
        await hall.backend.act("boiler")
        await hall.backend.act("boiler")
        assert pressed == [("boiler", True), ("boiler", False)]
        assert len(hall.backend.now().actions) == 5
        with pytest.raises(NotFound, match="earthquake"):
            await hall.backend.act("earthquake")


def test_the_pace_can_be_changed_from_the_page(tmp_path: Path) -> None:
    async def press(_name: str, _begins: bool) -> None:  # noqa: FBT001  never called
        raise AssertionError

    site = load_site(shifted_site(tmp_path, 900))
    loop = VirtualTimeLoop(pace=60.0)
    try:
        buttons = PacedButtons(Disturbances(site, press), loop)
        assert "60 times" in buttons.banner()
        loop.run_until_complete(buttons.act("pace"))
        assert buttons.pace() == 10.0
        assert "10 times" in buttons.banner()
        assert buttons.actions()[-1].active
        loop.run_until_complete(buttons.act("pace"))
        assert buttons.pace() == 60.0
    finally:
        loop.close()
