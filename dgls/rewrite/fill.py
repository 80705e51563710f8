from dgls.document import Document
from dgls.errors import NothingToDo
from dgls.region.syntax import Syntax
from dgls.rewrite.passage import Job, Room
from dgls.rewrite.task import Task


def fill(task: Task, document: Document, room: Room, syntax: Syntax | None) -> Job:
    raise NothingToDo("not written yet")
    yield


def fill_all(task: Task, document: Document, room: Room) -> Job:
    raise NothingToDo("not written yet")
    yield
