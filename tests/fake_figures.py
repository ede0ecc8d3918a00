"""Made-up figures of a town hall on a February day, by local hour."""

import math
from collections.abc import Collection
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from controller.web.view import Action, DeviceView, Energy, Hold, Holder, Ledgers, PlantView, Tone
from optimiser.problem import Reason

LONDON = ZoneInfo("Europe/London")
STEP = timedelta(minutes=15)
ZONES = {  # id: (name, from, to, people, offset in K)
    "hall": ("Main hall", 8, 18, 15, 0.3),
    "council": ("Council chamber", 17, 21, 45, -0.2),
    "library": ("Library corner", 9, 19, 14, 0.1),
    "reception": ("Reception", 8, 18, 4, -0.7),
    "registry": ("Registry", 8.5, 17, 6, 0.5),
    "meeting": ("Meeting rooms", 8.5, 17.5, 9, 0.2),
    "office_n1": ("North office, first floor", 8, 18, 16, 0.0),
    "office_n2": ("North office, second floor", 8, 18, 15, -0.1),
    "office_s1": ("South office, first floor", 8, 18, 15, 0.6),
    "office_s2": ("South office, second floor", 8, 18, 14, 0.8),
}
LEDGERS = Ledgers(
    grid="half-hourly grid intensity (NESO, kgCO2, generation)", annual="annual factor 2023 (DESNZ, kgCO2e)"
)


def price(hour: float) -> float:
    return 0.09 if 0.5 <= hour < 5.5 else 0.38 if 16 <= hour < 19 else 0.25


def intensity(hour: float) -> float:
    table = (128, 121, 118, 116, 119, 130, 158, 192, 214, 205, 190, 178,
             171, 168, 176, 194, 218, 236, 241, 228, 206, 182, 160, 141, 128)  # fmt: skip
    whole = int(hour)
    return round(table[whole] + (table[whole + 1] - table[whole]) * (hour - whole))


def pump_at(hour: float) -> float:
    if 0.5 <= hour < 5.5:
        return 44.0
    if 16 <= hour < 19:
        return 8.0
    return 52.0 if 5.5 <= hour < 8.5 else 36.0 if hour < 16 else 15.0


def tank_at(hour: float) -> float:
    if hour < 5.5:
        return 20 + 12 * hour
    if hour < 10:
        return 84 - 12 * (hour - 5.5)
    if hour < 16:
        return 30 + 7 * (hour - 10)
    return max(18.0, 72 - 14 * (hour - 16))


def reason_of(zone: str, *, there: bool) -> str:
    if not there:
        return "Nobody is expected yet; it may cool until it has to warm up."
    return {
        "hall": "Warm enough to coast; heats again at 14:30, before the 16:00 price peak.",
        "reception": "The door stands open; full heat is on.",
    }.get(zone, "Coasts a little above its lower limit until cheap hours come.")


def hour_at(when: datetime) -> float:
    local = when.astimezone(LONDON)
    return local.hour + local.minute / 60


def setpoint_at(zone: str, hour: float) -> float:
    _, begin, end, *_ = ZONES[zone]
    if begin - 2.5 <= hour < end - 1:
        return 21.5 if 14.5 <= hour < 16 else 20.0 if hour >= 16 else 20.5
    return 16.0 if hour > 5 or hour < 0.5 else 17.0


def air_at(zone: str, hour: float) -> float:
    _, begin, end, _, offset = ZONES[zone]
    night = 20.5 + offset - 3.6 * (1 - math.exp((end - 24 - min(hour, begin - 2.5)) / 7))
    if hour < begin - 2.5:
        return night
    if hour < begin:
        return night + (20.5 + offset - night) * (hour - begin + 2.5) / 2.5
    if hour < end:
        return 20.5 + offset + 0.7 * math.sin((hour - begin) / (end - begin) * math.pi)
    return 20.5 + offset - 3.6 * (1 - math.exp((end - hour) / 7))


def plant(broken: Collection[str]) -> tuple[PlantView, ...]:
    off = "boiler" in broken
    ours = Hold(holder=Holder.PLAN, text="enabled, until 13:42 (slot 13)", slot=13)
    return (
        PlantView(id="heat_pump", name="Heat pump", word="Running", tone=Tone.GOOD, output_kw=43.1, text="COP 3.1",
                  hold=ours),
        PlantView(id="boiler", name="Gas boiler", word="Fault" if off else "Off", output_kw=0.0,
                  tone=Tone.BAD if off else Tone.OFF, text="no answer to start" if off else "last ran at 08:10"),
        PlantView(id="tank", name="Buffer tank", word="Charging", tone=Tone.GOOD, temperature_degc=47.5,
                  share=0.72),
        PlantView(id="ahu", name="Council ventilation", word="Off", tone=Tone.OFF, share=0.0),
        PlantView(id="pv", name="Solar panels", word="Giving", tone=Tone.GOOD, output_kw=5.8,
                  output_of="electricity"),
    )  # fmt: skip


def devices(now: datetime, broken: Collection[str]) -> tuple[DeviceView, ...]:
    table = (("plant", "bacnet", 16), ("zones_a", "bacnet", 15), ("zones_b", "bacnet", 15), ("ahu", "bacnet", 3),
             ("meters", "mqtt", 11), ("occupancy", "mqtt", 10), ("lighting", "mqtt", 10))  # fmt: skip
    return tuple(
        DeviceView(
            id=name,
            driver=driver,
            address=f"127.0.0.1:{47811 + index if driver == 'bacnet' else 47883}",
            up=name not in broken,
            last_seen=now - timedelta(seconds=12),
            points=points,
            polls=792,
            failures=1 if name == "ahu" else 0,
            latency_s=0.004,
            error="no answer in 1.5 s" if name in broken else "",
        )
        for index, (name, driver, points) in enumerate(table)
    )


def actions(broken: Collection[str]) -> tuple[Action, ...]:
    return (
        Action(name="boiler", label="Unplug the boiler", description="Its fault shows, and the plan does without.",
               active="boiler" in broken),
        Action(name="operator", label="Take manual control", description="Somebody sets Registry at the panel."),
        Action(name="broker", label="Stop the broker", description="Meters, people and lights go silent."),
    )  # fmt: skip


def decisions(now: datetime) -> tuple[Reason, ...]:
    day = now.astimezone(LONDON).replace(hour=0, minute=0, second=0, microsecond=0)
    table: tuple[tuple[float, str, str, str], ...] = (
        (14.5, "hall", "price", "Warms to 21.5 °C while electricity costs 25p, to coast from 16:00 at 38p."),
        (16.0, "heat_pump", "price", "Runs at its lowest until 19:00: the tank (58 kWh) carries most of the peak."),
        (16.5, "council", "occupancy", "Heated for the meeting at 17:00, 45 people expected."),
        (18.5, "library", "comfort", "Held at 20.0 °C to closing time; the lower comfort limit decides."),
        (19.0, "tank", "carbon", "Waits: the grid is cleaner from 01:00 (121 g/kWh) than then (228 g/kWh)."),
        (24.5, "tank", "price", "Charged to 52 °C at 9p per kWh until 05:30."),
        (29.5, "office_n1", "limit", "Reaches 20.0 °C at 08:00 only just: the heat pump is at its 60 kW."),
        (31.5, "reception", "peak", "Lights at 80 % for half an hour to stay under the 80 kW import limit."),
        (36.0, "office_s2", "solar", "Sun gives about 3 kW through the south windows; heating pauses."),
    )  # fmt: skip
    return tuple(
        Reason(time=day + timedelta(hours=hour), part=part, cause=cause, text=text) for hour, part, cause, text in table
    )


def energy(start: datetime, end: datetime, kwh: float) -> Energy:
    grams = intensity(hour_at(start))
    return Energy(start=start, end=end, electricity_kwh=kwh, gas_kwh=kwh / 3, cost=kwh * 0.26, pv_kwh=kwh / 20,
                  grid_kg=kwh * grams / 1000 + kwh * 0.06, annual_kg=kwh * 0.207 + kwh * 0.061,
                  intensity_g_per_kwh=grams)  # fmt: skip
