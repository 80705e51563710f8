from dgls.document import Document
from dgls.errors import NothingToDo
from dgls.rewrite.passage import Job, Room
from dgls.rewrite.task import Task


def refine(task: Task, document: Document, room: Room) -> Job:
    raise NothingToDo("not written yet")
    yield
