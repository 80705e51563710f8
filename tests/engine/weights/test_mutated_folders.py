"""Files of a model with something changed: the model opens and fills, or says in one line why it does not.

Mutates `DGLS_FUZZ` / 150 folders (`make fuzz`: some thousands).
"""

from __future__ import annotations

import json
import random
import shutil
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls_engine.errors import EngineError
from tests.engine.checkpoints import masked_checkpoint, raw_checkpoint
from tests.engine.weights.test_hostile_folders import used
from tests.fuzzing import fuzzed
from tests.server.mutation import mutated

SECONDS = 20


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [make(tmp_path_factory.mktemp("model")) for make in (raw_checkpoint, masked_checkpoint)]


def mutate(file: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    if rng.random() < 0.2:  # a few bytes
        changed = bytearray(content)
        for _ in range(rng.choice((1, 10, 1000))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        file.write_bytes(changed[: rng.choice((len(changed), rng.randrange(len(changed))))])
    elif file.suffix == ".json":
        file.write_text(json.dumps(mutated(json.loads(content), rng)))
    else:
        (length,) = struct.unpack("<Q", content[:8])
        header = json.dumps(mutated(json.loads(content[8 : 8 + length]), rng)).encode()
        file.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])


@fuzzed(150)
@given(rng=st.randoms(use_true_random=False), number=st.integers(0, 1))
def test_open_mutated_folder_works_or_raises_engine_error(
    folders: list[Path], tmp_path_factory: pytest.TempPathFactory, rng: random.Random, number: int
) -> None:
    folder = tmp_path_factory.mktemp("mutated") / "model"
    shutil.copytree(folders[number], folder)
    mutate(rng.choice(sorted(folder.iterdir())), rng)
    started, said = time.monotonic(), ""
    try:
        used(folder)
    except EngineError as error:
        said = str(error)
    assert said.isprintable()
    assert time.monotonic() - started < SECONDS
    shutil.rmtree(folder.parent)
