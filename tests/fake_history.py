"""A made-up past of the town hall's points: one value a minute, some of them doubtful, some of them missing."""

from datetime import datetime, timedelta

import numpy as np

from controller.web.samples import HistoryView, Samples
from controller.web.view import PointView
from drivers.base import Flags

PEAK_MIN, PEAK_DEGC = 613, 27.3  # one reading a day far above its neighbours
DAY_MIN = 1440


def made_up(
    point: PointView, start: datetime, end: datetime, now: datetime, *, beside: HistoryView | None
) -> HistoryView:
    """What a store would hold: silent from 03:00 to 03:35 UTC, suspect for ten minutes from 11:00, bad at 12:00."""
    lead = timedelta(minutes=5)
    first = int((start - lead).timestamp()) // 60 + 1
    minute = np.arange(first, int(min(end, now).timestamp() - 1e-6) // 60 + 1)
    of_day = minute % DAY_MIN
    heard = ~((of_day >= 180) & (of_day < 215))
    minute, of_day = minute[heard], of_day[heard]
    held = point.role == "heating_setpoint"
    warm = (of_day >= 6 * 60) & (of_day < 18 * 60)
    noise = (np.sin(minute * 12.9898) * 43758.5453) % 1 - 0.5  # the same every time
    value = np.where(warm, 20.5, 16.0) if held else np.where(warm, 20.4, 18.0) + np.sin(of_day / 180) + 0.4 * noise
    value = value.astype(float)
    quality = np.where((of_day >= 660) & (of_day < 670), 1, 0).astype(np.int8)
    flags = np.where(quality == 1, int(Flags.SPIKE), 0).astype(np.int32)
    if not held:
        value[of_day == PEAK_MIN] = PEAK_DEGC
        bad = of_day == 720
        value[bad], quality[bad], flags[bad] = np.nan, 3, int(Flags.NO_ANSWER)
    samples = Samples(
        time_s=minute * 60.0,
        low=value,
        mean=value,
        high=value,
        count=np.ones(len(value), dtype=np.int64),
        quality=quality,
        flags=flags,
    )
    return HistoryView(
        point=point.id,
        name=point.name.replace(", ", ": ").replace("heating setpoint", "setpoint"),
        unit=point.unit,
        role=point.role,
        device=point.device,
        start=start,
        end=end,
        samples=samples,
        lasts=timedelta(minutes=5),
        held=held,
        counter=False,
        beside=beside,
    )
