"""Feeds in the contract suite: a read-only device whose answers come by real HTTP, hour by hour."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.clock import Clock
from site_sims.field import Field, FieldDevice, FieldObject
from tests.contract_cases import Case, Subject
from tests.feed_bench import bench
from tests.feed_server import SILENT, Answer, Asked, as_json, weather


@asynccontextmanager
async def weather_feed(clock: Clock) -> AsyncIterator[Subject]:
    temperature = FieldObject(key="grid.temperature", address="", default=19.5)
    solar = FieldObject(key="grid.solar", address="", default=300.0)
    field = Field(
        [FieldDevice(id="sky", protocol="http", objects={found.key: found for found in (temperature, solar)})]
    )

    def reply(asked: Asked) -> Answer:
        if not field.devices["sky"].reachable:
            return SILENT
        degc, sun = (None if math.isnan(found.value) else found.value for found in (temperature, solar))
        return as_json(weather(asked, degc=lambda _: degc, sun=lambda _: sun))

    async with bench("weather", clock) as b:
        b.server.reply = reply
        points = b.points
        yield Subject(
            make=b.driver,
            field=field,
            device="sky",
            sensor=points["temperature"],
            setpoint=points["solar"],
            refused=points["solar"],
            missing=points["solar"].model_copy(update={"address": "wind"}),
            settle_s=4000.0,
            silence_s=7 * 3600.0,
        )


CASES = [Case("weather", weather_feed, writes=False)]
