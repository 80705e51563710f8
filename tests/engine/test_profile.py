"""Where a profile's values come from, and what is said when they are wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from dgls.server.settings import InlineCompletionSettings
from dgls.suggest.plan import Budget
from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.model.widths import WIDTHS
from dgls_engine.profile import _RANGES, Profile
from dgls_engine.weights.profiles import read_profile

PROFILE = Profile("raw", "pad", canvas_tokens=64, max_prompt_tokens=128, before_tokens=24, after_tokens=16)
KIND = {"architectures": ["DiffusionGemmaForBlockDiffusion"], "model_type": "diffusion_gemma"}
CONFIG = {**KIND, "canvas_length": 256, "text_config": {"max_position_embeddings": 131072}}


def checkpoint(folder: Path, template: bool = True, **files: object) -> Path:
    """A folder with a config and what is given: `generation_config={...}`, `infill={...}`."""
    for name, content in {"config": CONFIG, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    if template:
        (folder / "chat_template.jinja").write_text("")
    return folder


def test_profile_saved_and_read_is_equal(tmp_path: Path) -> None:
    PROFILE.save(checkpoint(tmp_path, template=False))
    assert read_profile(tmp_path) == PROFILE


def test_read_chat_model_without_infill_json_uses_generation_config(tmp_path: Path) -> None:
    generation = {"max_denoising_steps": 32, "sampler_config": {"entropy_bound": 0.3}, "t_min": 0.2, "t_max": 0.9}
    profile = read_profile(checkpoint(tmp_path, generation_config=generation))
    assert (profile.prompt_format, profile.hole_policy, profile.canvas_tokens) == ("chat", "batch", 256)
    assert (profile.max_steps, profile.entropy_bound, profile.t_min, profile.t_max) == (32, 0.3, 0.2, 0.9)
    assert (profile.stability_threshold, profile.confidence_threshold) == (1, 0.005)


def test_defaults_long_canvas_line_fits_half_of_it(tmp_path: Path) -> None:
    profile = read_profile(checkpoint(tmp_path))
    assert profile.before_tokens + InlineCompletionSettings().max_tokens + profile.after_tokens + 1 == 128
    assert 128 in WIDTHS


def test_read_languages_of_infill_json_are_those_of_its_budget(tmp_path: Path) -> None:
    profile = read_profile(checkpoint(tmp_path, infill={"languages": ["python", "go"]}))
    assert Budget.of(profile).languages == ("python", "go")
    profile.save(tmp_path)
    assert read_profile(tmp_path) == profile
    for wrong in ("python", [1], None):
        (tmp_path / "infill.json").write_text(json.dumps({"languages": wrong}))
        with pytest.raises(BrokenCheckpoint, match="languages must be a list"):
            read_profile(tmp_path)


def test_read_infill_json_overrides_generation_config(tmp_path: Path) -> None:
    profile = read_profile(checkpoint(tmp_path, generation_config={"t_min": 0.1}, infill={"t_min": 0.2}))
    assert profile.t_min == 0.2


def test_defaults_prompt_and_canvas_fit_model_positions(tmp_path: Path) -> None:
    config = {**KIND, "canvas_length": 64, "text_config": {"max_position_embeddings": 512}}
    assert read_profile(checkpoint(tmp_path, config=config)).max_prompt_tokens == 512 - 64


def test_read_template_in_tokenizer_config_is_used(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, template=False, tokenizer_config={"chat_template": "{{ messages }}"})
    assert read_profile(folder).prompt_format == "chat"


def test_read_model_without_template_and_profile_raises(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="neither a chat template nor"):
        read_profile(checkpoint(tmp_path, template=False))


@pytest.mark.parametrize(
    ("infill", "words"),
    [
        ({"t_minn": 1}, "unknown keys t_minn"),
        ({"t_min": "cold"}, "t_min must be a number from 1e-06 to 100.0, not cold"),
        ({"max_steps": 1.5}, "max_steps must be a whole number from 1 to 8192, not 1.5"),
        ({"max_steps": True}, "max_steps must be a whole number .*, not True"),
        ({"max_steps": 0}, "max_steps must be .* from 1 to 8192, not 0"),
        ({"t_min": 0.9}, "t_min must be at most t_max, which is 0.8, not 0.9"),
        ({"before_tokens": 250}, r"leave room for a hole"),
        ({"prompt_format": "poem"}, "one of raw, chat"),
        *(({name: 10**9}, f"{name} must be .* to {most}, not 1000000000") for name, (_, most) in _RANGES.items()),
        *(({name: math.nan}, f"{name} must be") for name in _RANGES),
        ({"max_steps": 10**4000}, r"max_steps must be .*, not 10+\.\.\.0+;"),
        ({"mask_token": "x" * 1000}, "at most 200 characters"),
        ({"calibration": {"length_bias": 1e9}}, "length_bias must be from -100.0 to 100.0"),
        ({"calibration": {"points": [[n / 20_000, 0.5] for n in range(20_000)]}}, "at most 10000 points"),
        ({"calibration": {"points": "x" * 10**6}}, "must be pairs of numbers, not x{200};"),
        ([], "does not hold a JSON object"),
    ],
)
def test_read_wrong_value_raises_with_its_name(tmp_path: Path, infill: object, words: str) -> None:
    with pytest.raises(BrokenCheckpoint, match=words):
        read_profile(checkpoint(tmp_path, infill=infill))


def test_read_config_without_canvas_raises(tmp_path: Path) -> None:
    with pytest.raises(BrokenCheckpoint, match="canvas_length"):
        read_profile(checkpoint(tmp_path, config=KIND))


def test_profile_with_invalid_fields_raises() -> None:
    with pytest.raises(ValueError, match="after_tokens must be a whole number from 0 to 8192, not -1"):
        replace(PROFILE, after_tokens=-1)
