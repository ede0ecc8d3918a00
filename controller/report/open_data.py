"""A report as open data: one CSV of its lines, one JSON of all it says; the same input gives the same bytes."""

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from typing import Any

from controller.carbon.slots import Coverage
from controller.carbon.totals import Mass, Totals
from controller.report.tables import Entry, MeterEntry, Report

PLACES = Decimal("0.000001")
SHARE_PLACES = Decimal("0.0001")
COLUMNS = (
    "from", "to", "building", "item", "fuel", "kwh", "cost", "currency", "unpriced_kwh",
    "annual_kgco2e", "annual_scope", "annual_ledger",
    "grid_kg", "grid_ledger", "grid_estimated_kwh", "grid_unknown_kwh",
    "half_hours", "actual", "filled", "missing", "coverage", "estimated_share", "missing_share",
)  # fmt: skip


def as_csv(report: Report) -> str:
    """One line for each building, fuel and way, and for each standing charge; no sums, so that columns add up."""
    out = StringIO()
    table = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for row in _rows(report):
        table.writerow(row)
    return out.getvalue()


def _rows(report: Report) -> Iterator[dict[str, str]]:
    span = {"from": f"{report.period.first}", "to": f"{report.period.last}", "currency": report.currency}
    for entry in report.entries:
        totals = entry.totals
        yield span | {
            "building": entry.building,
            "item": entry.flow.value,
            "fuel": entry.fuel.value,
            "kwh": _text(totals.kwh),
            "cost": _text(totals.cost),
            "unpriced_kwh": _text(totals.unpriced_kwh),
            "annual_kgco2e": _text(totals.annual.kg),
            "annual_scope": entry.scope,
            "annual_ledger": totals.annual.ledger,
            **_grid(report, totals.grid),
            **{name: str(value) for name, value in _coverage(totals.coverage).items()},
        }
    for one in report.standing:
        yield span | {"item": "standing charge", "fuel": one.fuel.value, "cost": _text(one.cost)}


def _grid(report: Report, mass: Mass) -> dict[str, str]:
    if report.intensity is None:
        return {}
    return {
        "grid_kg": _text(mass.kg),
        "grid_ledger": mass.ledger,
        "grid_estimated_kwh": _text(mass.estimated_kwh),
        "grid_unknown_kwh": _text(mass.unknown_kwh),
    }


def as_json(report: Report) -> str:
    """All of it. A half-hourly ledger that is not kept is null, never nought."""
    period, sources = report.period, report.sources
    shown = {
        "site": report.site,
        "name": report.name,
        "period": {
            "from": f"{period.first}",
            "to": f"{period.last}",
            "timezone": report.timezone,
            "start": _utc(period.start),
            "end": _utc(period.end),
            "half_hours": report.half_hours,
        },
        "currency": report.currency,
        "half_hours_at_feed_prices": report.priced,
        "ledgers": {
            "annual": {"gas": "CO2e", "factor_year": report.factor_year or "each kWh at its own calendar year"},
            "grid": None
            if report.intensity is None
            else {
                "gas": report.intensity.gas.value,
                "boundary": report.intensity.boundary.value,
                "source": report.intensity.source,
                "use": "operational; not for a statutory return",
            },
        },
        "total": _totals(report, report.sum())
        | {
            "cost": _number(report.cost),
            "energy_cost": _number(report.sum().cost),
            "exported": _number(report.exported),
        },
        "scopes_kgco2e": {scope: _number(kg) for scope, kg in report.scopes.items()},
        "buildings": [
            {
                "id": id_,
                "name": name,
                "total": _totals(report, report.sum(building=id_)),
                "entries": [_entry(report, entry) for entry in report.entries if entry.building == id_],
            }
            for id_, name in report.buildings.items()
        ],
        "standing_charges": [
            {"fuel": one.fuel.value, "per_day": _number(one.per_day), "cost": _number(one.cost)}
            for one in report.standing
        ],
        "meters": [_meter(report, entry) for entry in report.meters],
        "sources": {
            "plenum": sources.version,
            "site_file": {"name": sources.site_file.name, "sha256": sources.site_file.sha256},
            "factors": {"name": sources.factors.name, "sha256": sources.factors.sha256},
            "intensity": None
            if sources.intensity is None
            else {"name": sources.intensity.name, "sha256": sources.intensity.sha256},
            "readings_sha256": dict(sources.readings),
        },
    }
    return json.dumps(shown, indent=1, ensure_ascii=False) + "\n"


def _entry(report: Report, entry: Entry) -> dict[str, Any]:
    return {
        "fuel": entry.fuel.value,
        "flow": entry.flow.value,
        "scope": entry.scope or None,
        **_totals(report, entry.totals),
        "rates": [
            {"rate": _number(one.rate), "kwh": _number(one.kwh), "cost": _number(one.cost)} for one in entry.rates
        ],
        "factors": [
            {
                "kgco2e_per_kwh": float(one.factor.kg_per_kwh),
                "year": one.factor.year,
                "source": one.factor.source,
                "kwh": _number(one.kwh),
                "kgco2e": _number(one.kg),
            }
            for one in entry.factors
        ],
    }


def _totals(report: Report, totals: Totals) -> dict[str, Any]:
    return {
        "kwh": _number(totals.kwh),
        "cost": _number(totals.cost),
        "unpriced_kwh": _number(totals.unpriced_kwh),
        "annual": {"kgco2e": _number(totals.annual.kg), "ledger": totals.annual.ledger},
        "grid": None
        if report.intensity is None
        else {
            "kg": _number(totals.grid.kg),
            "ledger": totals.grid.ledger,
            "estimated_kwh": _number(totals.grid.estimated_kwh),
            "unknown_kwh": _number(totals.grid.unknown_kwh),
        },
        "quality": _coverage(totals.coverage),
    }


def _meter(report: Report, entry: MeterEntry) -> dict[str, Any]:
    meter = entry.meter
    return {
        "id": meter.id,
        "building": entry.building,
        "point": meter.point,
        "fuel": meter.fuel.value,
        "kind": meter.kind.value,
        "main": meter.main,
        "export": meter.export,
        "kwh": _number(entry.totals.kwh),
        "quality": _coverage(entry.totals.coverage),
        "register_unit": entry.unit.value,
        "opening": _register(entry.opening),
        "closing": _register(entry.closing),
        "exchanges": [
            {"time": _utc(one.time), "closing": one.closing, "opening": one.opening} for one in entry.exchanges
        ],
        "readings_sha256": report.sources.readings[meter.id],
    }


def _register(read: tuple[datetime, float] | None) -> dict[str, Any] | None:
    return None if read is None else {"time": _utc(read[0]), "value": read[1]}


def _coverage(found: Coverage) -> dict[str, Any]:
    return {
        "half_hours": found.expected,
        "actual": found.actual,
        "filled": found.filled,
        "missing": found.missing,
        "coverage": float(found.coverage.quantize(SHARE_PLACES)),
        "estimated_share": float(found.estimated_share.quantize(SHARE_PLACES)),
        "missing_share": float(found.missing_share.quantize(SHARE_PLACES)),
    }


def _number(value: Decimal) -> float:
    return float(_rounded(value))


def _text(value: Decimal) -> str:
    return f"{_rounded(value).normalize():f}"


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(PLACES, ROUND_HALF_UP) + 0  # which makes a negative nought a plain one


def _utc(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
