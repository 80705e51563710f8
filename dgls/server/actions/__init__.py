"""What the features that change code share: what is asked for, its running, its watching and the edit it ends in.

Above the session, below the features. Everything here runs on the asyncio loop, but for what says otherwise.
"""
