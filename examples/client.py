"""A minimal LSP client: start `dgls serve`, open a file, ask for one inline completion, leave."""

import json
import subprocess
import sys
from typing import IO, Any, cast

CODE = "def mean(values):\n    return \n"


def send(pipe: IO[bytes], **message: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    pipe.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    pipe.flush()


def reply(pipe: IO[bytes], number: int) -> Any:
    """The result of request `number`; notifications that arrive before it are dropped."""
    while True:
        headers = dict(line.decode().strip().lower().split(": ") for line in iter(pipe.readline, b"\r\n"))
        message = json.loads(pipe.read(int(headers["content-length"])))
        if message.get("id") == number and "method" not in message:
            return message["result"]


with subprocess.Popen(
    [sys.executable, "-P", "-m", "dgls", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
) as server:
    out, back = cast(IO[bytes], server.stdin), cast(IO[bytes], server.stdout)
    send(out, id=1, method="initialize", params={"processId": None, "rootUri": None, "capabilities": {}})
    reply(back, 1)
    send(out, method="initialized", params={})
    document = {"uri": "file:///mean.py", "languageId": "python", "version": 1, "text": CODE}
    send(out, method="textDocument/didOpen", params={"textDocument": document})
    # Trigger kind 1 means that the user asked: the server waits until its model is loaded.
    place = {"textDocument": {"uri": document["uri"]}, "position": {"line": 1, "character": 11}}
    send(out, id=2, method="textDocument/inlineCompletion", params={**place, "context": {"triggerKind": 1}})
    print(json.dumps(reply(back, 2)["items"]))
    send(out, id=3, method="shutdown")
    send(out, method="exit")
