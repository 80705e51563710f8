from dgls.document import Document
from dgls.errors import NothingToDo
from dgls.region.syntax import Syntax
from dgls.rewrite.passage import Job, Room
from dgls.rewrite.task import Task


def fix(task: Task, document: Document, room: Room, syntax: Syntax | None) -> Job:
    raise NothingToDo("not written yet")
    yield
