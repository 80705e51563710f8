"""Next edit: from an edit to the places that it made unlikely, and to a small change there.

Reads text and trees, and asks a model how surprising a text is; never changes a document. Pure; runs on any thread.
"""
