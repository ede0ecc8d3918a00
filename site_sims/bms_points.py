"""Where the building's own control reads and writes: field objects by role and part, at priority 15."""

from config.roles import Role
from config.site import Site
from site_sims.field import Field, FieldObject

SLOT = 15


class Points:
    """The field of a site as its control programmes see it."""

    def __init__(self, site: Site, field: Field) -> None:
        self._site, self._field = site, field

    def find(self, role: Role, part: str | None = None) -> FieldObject:
        """The first object of a role; raises IndexError without one."""
        return self._field[self._site.by_role(role, part)[0].id.split(".", 1)[1]]

    def maybe(self, role: Role, part: str | None = None) -> FieldObject | None:
        """The same, or None."""
        return self.find(role, part) if self._site.by_role(role, part) else None

    def of(self, role: Role, kind: str) -> FieldObject | None:
        """The object of a role at the plant of a kind; None if the building has neither."""
        parts = (item.id for item in self._site.buildings[0].plant if item.kind == kind)
        part = next(parts, None)
        return None if part is None else self.maybe(role, part)


def put(obj: FieldObject, value: float) -> None:
    """Write what differs from what stands there, inside the object's limits."""
    if obj.array[SLOT - 1] != value:
        low, high = obj.low, obj.high
        value = value if low is None else max(value, low)
        value = value if high is None else min(value, high)
        if obj.array[SLOT - 1] != value:
            obj.write(value, SLOT)
