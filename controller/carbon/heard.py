"""What a site's own feeds said of the past, from the stored readings of their points: grid intensity, and prices."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import numpy as np

from config.intensity import Basis
from config.localtime import HALF_HOUR_S, epoch_s
from config.roles import Role
from config.site import Device, Site
from controller.carbon.intensity import IntensityFile
from controller.carbon.slots import HALF_HOUR
from controller.store.base import Store
from drivers.base import Flags, Here
from drivers.feeds.carbon_intensity import ACTUAL, CarbonIntensityDriver

GOOD, PLACES = 0, 9


async def heard_intensity(store: Store, site: Site, start: datetime, end: datetime) -> IntensityFile | None:
    """The intensity of [start, end), whole half-hours: what was, and else what had been forecast.

    None if the site has no such feed, or nothing of that time was heard. Raises StoreError.
    """
    feed = next((device for device in site.devices if device.driver == CarbonIntensityDriver.NAME), None)
    if feed is None:
        return None
    first = epoch_s(start) // HALF_HOUR_S * HALF_HOUR_S
    length = -(-(epoch_s(end) - first) // HALF_HOUR_S)
    actual, forecast = np.full(length, np.nan), np.full(length, np.nan)
    for point in feed.points:
        if point.address != ACTUAL:  # read as it was in force, so that its mean is what it was
            means = await store.aggregate(point.id, start, end, HALF_HOUR)
            for when, (mean, *_rest) in means.items():
                forecast[(epoch_s(when) - first) // HALF_HOUR_S] = mean
    for point in feed.points:
        if point.address == ACTUAL:  # labelled by the half-hour that it was true of
            window = await store.window(point.id, start, end)
            place = (window.time_s.astype(np.int64) - first) // HALF_HOUR_S
            good = window.quality == GOOD
            instead = (window.flags & int(Flags.SUBSTITUTED)) > 0
            actual[place[good]] = window.value[good]
            forecast[place[instead]] = window.value[instead]
    if np.isnan(actual).all() and np.isnan(forecast).all():
        return None
    return IntensityFile(first, actual, forecast, _basis(site, feed))


async def heard_prices(store: Store, site: Site, start: datetime, end: datetime) -> Mapping[int, Decimal]:
    """Price of electricity by the second at which its half-hour begins; what no feed named is not in it."""
    found: dict[int, Decimal] = {}
    for point in site.by_role(Role.ELECTRICITY_PRICE):
        means = await store.aggregate(point.id, start, end, HALF_HOUR)
        found |= {epoch_s(when): Decimal(str(round(mean, PLACES))) for when, (mean, *_rest) in means.items()}
    return found


def _basis(site: Site, feed: Device) -> Basis:
    options = CarbonIntensityDriver.Options.model_validate(feed.options)
    return CarbonIntensityDriver.basis(options, Here(location=site.location))
