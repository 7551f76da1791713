"""asyncio for Pykka: actors that live on an event loop."""
