"""A lending library: who has which book."""


class Library:
    def __init__(self, titles):
        self.shelf = set(titles)
        <HOLE: self.loans = {}>

    def lend(self, title, reader):
        if title not in self.shelf:
            raise KeyError(title)
        self.shelf.remove(title)
        <HOLE: self.loans[title] = reader>

    def give_back(self, title):
        del self.loans[title]
        <HOLE: self.shelf.add(title)>
