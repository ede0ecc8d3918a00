import asyncio
async def test_a():
    l=asyncio.get_running_loop(); t=l.time()
    await asyncio.sleep(86400)
    assert l.time()-t==86400
    assert await asyncio.to_thread(lambda: 5)==5
def test_sync(): pass
