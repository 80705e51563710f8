"""Shared by the features that change code: reads requests, runs them, shows progress and builds the edit.

Above the session, below the features. Everything here runs on the asyncio loop unless it says otherwise.
"""
