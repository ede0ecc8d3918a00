"""What has been learned of the building, kept as one readable JSON file beside the store."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from config.site import AirBox, Boiler, Chiller, HeatPump, Site
from optimiser.problem import ZoneModel
from optimiser.thermal import prior_model

log = logging.getLogger(__name__)

STEP = timedelta(minutes=15)
MODEL_FILE = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Models and scales of one site; `accepted_at` None = priors by floor area only."""

    zones: Mapping[str, ZoneModel]
    emitter_scale: Mapping[str, float] = field(default_factory=dict)  # true heat over rated, by zone
    heat_pump_capacity: float = 1.0  # true over rated
    heat_pump_cop: float = 1.0
    boiler_efficiency: float = 1.0
    accepted_at: datetime | None = None
    verdict: str = "priors by floor area"  # what the acceptance test said last

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        content = asdict(self) | {"accepted_at": self.accepted_at and self.accepted_at.isoformat()}
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
        draft.replace(path)


def plannable(site: Site) -> bool:
    """Whether our models describe how the site is heated; not where air heats and cools it."""
    plant = [item for building in site.buildings for item in building.plant]
    return not any(isinstance(item, AirBox | Chiller) for item in plant)


def priors(site: Site) -> Learned:
    """Models by floor area, to begin with."""
    zones = [zone for building in site.buildings for zone in building.zones]
    return Learned(zones={z.id: prior_model(z.area_m2, z.emitter_kw or 0.0, STEP) for z in zones})


def load(path: Path, site: Site) -> Learned:
    """The stored models, with priors for zones the file does not know; priors alone if it is missing or damaged."""
    begin = priors(site)
    if not path.exists():
        return begin
    try:
        return _read(path.read_text(encoding="utf-8"), begin)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s: not a model of this version, beginning anew: %s", path, error)
        return begin


def _read(text: str, begin: Learned) -> Learned:
    content = json.loads(text)
    stored = {
        name: ZoneModel(**(model | {"offset_k": tuple(model["offset_k"])}))
        for name, model in content.pop("zones").items()
        if name in begin.zones
    }
    accepted = content.pop("accepted_at")
    learned = Learned(zones={**begin.zones, **stored}, **content)
    return replace(learned, accepted_at=None if accepted is None else datetime.fromisoformat(accepted))


def heat_pump_of(site: Site) -> HeatPump | None:
    """The site's first heat pump."""
    return next((p for b in site.buildings for p in b.plant if isinstance(p, HeatPump)), None)


def boiler_of(site: Site) -> Boiler | None:
    """The site's first boiler."""
    return next((p for b in site.buildings for p in b.plant if isinstance(p, Boiler)), None)
