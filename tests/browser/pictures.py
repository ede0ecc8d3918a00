"""The pictures of the documentation: `python tests/browser/pictures.py docs [http://127.0.0.1:8080]`.

Without an address the fake town hall is shown.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from browsers import chromium, serving  # noqa: E402  the path above makes it importable

SHOTS = (  # name, path, width, height, scheme, scale
    ("now", "/", 1280, 1000, "light", 1),
    ("now-phone", "/", 390, 844, "light", 2),
    ("plan", "/plan", 1280, 1400, "light", 1),
    ("history", "/points/townhall.hall.temperature/history?span=day", 1280, 900, "light", 1),
    ("wall", "/?wall=1", 1920, 1080, "dark", 1),
)


async def take(folder: Path, address: str | None) -> None:
    """Write one PNG for each entry of SHOTS."""
    async with AsyncExitStack() as stack:
        if address is None:
            address, _, _ = await stack.enter_async_context(serving())
        browser = await stack.enter_async_context(chromium())
        for name, path, width, height, scheme, scale in SHOTS:
            context = await browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale
            )
            page = await context.new_page()
            await page.goto(address + path)
            await page.wait_for_selector("#live:has-text('Live.')")
            await page.screenshot(path=folder / f"{name}.png")
            await context.close()


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
