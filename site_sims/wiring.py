"""What hangs on which wire of a simulated plant: the commands it follows and the truths its instruments show.

Keys are a point's role and the kind of plant it belongs to; what a building does not have is not in the tables.
"""

from collections.abc import Callable
from functools import partial

from config.roles import Role
from site_sims.plant import Plant
from site_sims.plant_air import AllAirPlant

Truths = dict[tuple[Role, str], Callable[[], float]]

COMMANDS = {  # the attribute of `Commands` that follows the point
    (Role.ENABLE, "heat_pump"): "heat_pump_enable",
    (Role.CAPACITY_LIMIT, "heat_pump"): "heat_pump_percent",
    (Role.ENABLE, "boiler"): "boiler_enable",
    (Role.TANK_SETPOINT, "tank"): "tank_setpoint",
    (Role.FLOW_SETPOINT, "circuit"): "flow_setpoint",
    (Role.FAN_SPEED, "air_handler"): "fan_percent",
    (Role.SUPPLY_SETPOINT, "air_handler"): "supply_setpoint",
    (Role.OUTDOOR_DAMPER, "air_handler"): "outdoor_damper_percent",
    (Role.ENABLE, "chiller"): "chiller_enable",
}


def plant_truths(plant: Plant) -> Truths:
    """True values of the plant's own points. Machines are looked up anew each time: a checkpoint replaces them."""
    found: Truths = {
        (Role.ELECTRICITY_POWER, ""): lambda: plant.state.power.net,
        (Role.LIGHTING_POWER, ""): lambda: plant.state.power.lighting,
        (Role.HEAT_OUTPUT, "circuit"): lambda: plant.state.power.circuit_heat,
        (Role.FLOW_TEMPERATURE, "circuit"): lambda: plant.state.flow,
        (Role.PV_POWER, "pv"): lambda: plant.state.power.pv,
        (Role.ELECTRICITY_POWER, "heat_pump"): lambda: plant.state.power.heat_pump,
        (Role.HEAT_OUTPUT, "heat_pump"): lambda: plant.state.power.heat_pump_heat,
        (Role.HEAT_OUTPUT, "boiler"): lambda: plant.state.power.boiler_heat,
        (Role.OTHER, "air_handler"): lambda: plant.state.supply_air,
        (Role.SUPPLY_TEMPERATURE, "air_handler"): lambda: plant.state.supply_air,
        (Role.ELECTRICITY_POWER, "air_handler"): lambda: plant.state.power.fan,
        (Role.ELECTRICITY_POWER, "chiller"): lambda: plant.state.power.chiller,
    }
    for kind in plant.machines:
        found[Role.RUNNING, kind] = partial(_running, plant, kind)
        found[Role.FAULT, kind] = partial(_fault, plant, kind)
    if plant.tank is not None:
        found[Role.TANK_TEMPERATURE, "tank"] = lambda: 0.0 if plant.tank is None else plant.tank.mean
    return found


def _running(plant: Plant, kind: str) -> float:
    return float(plant.machines[kind].running)


def _fault(plant: Plant, kind: str) -> float:
    return float(plant.machines[kind].fault)


def zone_truths(plant: Plant, zone: int) -> dict[Role, Callable[[], float]]:
    """True values of a zone's points."""
    found: dict[Role, Callable[[], float]] = {
        Role.ZONE_TEMPERATURE: lambda: plant.fabric.temperature.item(zone),
        Role.VALVE_POSITION: lambda: plant.state.valve.item(zone) * 100,
        Role.CO2: lambda: plant.co2(zone),
    }
    if isinstance(plant, AllAirPlant):
        found[Role.AIRFLOW] = lambda: plant.air.flow.item(zone)
        found[Role.DAMPER_POSITION] = lambda: plant.air.opening(zone) * 100
    return found
