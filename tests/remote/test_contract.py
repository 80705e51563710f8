"""Our requests through vLLM's own validator (`vllm/utils/diffusion.py` of its wheel), and our server's rules beside it.

Skipped where the wheel is not importable. It need not run: the module is plain Python, and is loaded by itself if the
package as a whole can't be.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dgls_engine.remote.wire import Ask, body, probe, refused_for_pins, refused_for_width
from dgls_engine.weights.loader import LoadedModel
from tests.remote.conftest import OpenRemote
from tests.remote.fake_vllm import FakeVllm, refusal
from tests.remote.requests import request, run

VOCABULARY, CANVAS = 262_144, 256

Validate = Callable[[Mapping[str, Any]], str | None]


def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def validate() -> Validate:
    """vLLM's refusal of such `vllm_xargs`, None if it takes them."""
    found = importlib.util.find_spec("vllm")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no vLLM wheel is importable here")
    root = Path(next(iter(found.submodule_search_locations)))
    if not (root / "utils" / "diffusion.py").is_file():
        pytest.skip("this vLLM is older than 0.33: it has no diffusion requests")
    before = set(sys.modules)
    for package in ("vllm", "vllm.utils"):
        sys.modules.setdefault(package, ModuleType(package))
    errors = _module("vllm.exceptions", root / "exceptions.py")
    module = _module("vllm.utils.diffusion", root / "utils" / "diffusion.py")
    for name in set(sys.modules) - before:
        if name.split(".")[0] == "vllm":
            del sys.modules[name]

    def refused(extra: Mapping[str, Any]) -> str | None:
        params = SimpleNamespace(extra_args=dict(extra), max_tokens=300, ignore_eos=False, logprob_token_ids=None)
        try:
            module.validate_diffusion_sampling_params(params, canvas_length=CANVAS, vocab_size=VOCABULARY)
        except errors.VLLMValidationError as error:
            return str(error)
        return None

    return refused


def test_vllm_refuses_probe_for_its_pins(validate: Validate) -> None:
    said = validate(probe("m", CANVAS, 0)["vllm_xargs"])
    assert said is not None
    assert refused_for_pins(said)
    assert not refused_for_width(said)
    wider = validate(probe("m", CANVAS + 1, 0)["vllm_xargs"])
    assert wider is not None
    assert refused_for_width(wider)
    assert not refused_for_pins(wider)


def test_vllm_accepts_our_requests(
    validate: Validate, scripted: FakeVllm, connect: OpenRemote, chat: LoadedModel
) -> None:
    run(connect(scripted), request("def read(path):\n    return na"))
    assert len(scripted.denoised) == 2
    for seen in scripted.denoised:
        assert validate(seen.body["vllm_xargs"]) is None
    largest = Ask([1], [VOCABULARY - 1] * CANVAS, range(0, CANVAS, 2), 48, CANVAS)
    assert validate(body(largest, "m")["vllm_xargs"]) is None


WRONG: list[dict[str, Any]] = [
    {"diffusion_canvas_length": 0},
    {"diffusion_canvas_length": CANVAS + 1},
    {"diffusion_seed_canvas": [1] * (CANVAS - 1)},
    {"diffusion_seed_canvas": [1] * 8, "diffusion_canvas_length": 9},
    {"diffusion_seed_canvas": [VOCABULARY] * CANVAS},
    {"diffusion_seed_canvas": [-1] * CANVAS},
    {"diffusion_pinned": [0]},
    {"diffusion_seed_canvas": [1] * 8, "diffusion_canvas_length": 8, "diffusion_pinned": [8]},
    {"diffusion_max_steps": 0},
]


@pytest.mark.parametrize("extra", [*WRONG, {"diffusion_seed_canvas": [1] * CANVAS, "diffusion_pinned": [0]}])
def test_scripted_server_refuses_what_vllm_refuses(validate: Validate, extra: dict[str, Any]) -> None:
    theirs, ours = validate(extra), refusal(extra, CANVAS, VOCABULARY)
    assert (theirs is None) == (ours is None)
    assert theirs is None or theirs.removesuffix(" (parameter=extra_args)") == ours
