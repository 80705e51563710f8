"""A support ticket: one hole."""


class Ticket:
    def __init__(self, title, owner, priority):
        self.title = title
        self.owner = <HOLE: owner>
        self.priority = priority

    def rename(self, title):
        self.title = title
