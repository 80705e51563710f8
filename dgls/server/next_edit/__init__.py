"""The server's part of next edit: what was edited, and which proposal follows from it. Runs on the asyncio loop."""
