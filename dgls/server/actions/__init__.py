"""What the features that change code share: reading requests, running them, showing progress, building the edit.

Above the session, below the features. Everything here runs on the asyncio loop unless it says otherwise.
"""
