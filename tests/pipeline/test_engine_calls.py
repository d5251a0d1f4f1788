"""The C of a board samples calls as the Python specification does, token for token, and only calls of the catalogue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit import call_models
from tinyllm.boards.description import load_board
from tinyllm.codegen.actions.plan import OUTSIDE, CallReader
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import Sampler, SamplerSettings
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.verify.library import HostLibrary, compile_library
from tinyllm.codegen.verify.verify import verify
from tinyllm.errors import UserError

HOTTEST = 100 << 16

SETTINGS = {
    "greedy": SamplerSettings(temperature=0),
    "greedy, penalty": SamplerSettings(temperature=0, repetition_penalty=100 << 16),
    "start": SamplerSettings(),
    "hottest": SamplerSettings(temperature=HOTTEST, top_p=65536),
    "coldest": SamplerSettings(temperature=1),
    "top_k": SamplerSettings(temperature=HOTTEST, top_k=3),
    "top_k and top_p": SamplerSettings(temperature=HOTTEST, top_k=20, top_p=40000),
    "min_p": SamplerSettings(temperature=80000, top_p=65536, min_p=20000),
    "penalty of less than one": SamplerSettings(temperature=HOTTEST, repetition_penalty=655),
    "all": SamplerSettings(temperature=HOTTEST, top_k=9, top_p=50000, min_p=99, repetition_penalty=90000),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> HostLibrary:
    """The C with the undefined-behaviour sanitizer."""
    model = quantize(call_models.call_model())
    files = emit_project(model, call_models.tokenizer(), load_board("host")).files
    return HostLibrary(compile_library(files, tmp_path_factory.mktemp("calls"), "ubsan"), model.config)


class BothSamplers:
    """The two samplers with the same logits; each draw must be the same."""

    def __init__(self, library: HostLibrary, settings: SamplerSettings, seed: int) -> None:
        self.c, self.ffi, self.logits = library.c, library.ffi, library.logits()
        values = [getattr(settings, name) for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")]
        self.settings = self.ffi.new("struct tl_sampler_settings *", values)
        self.random = library.seed(seed)
        self.sampler = Sampler(settings, seed)
        self.reader = CallReader(call_models.plan())
        self.recent: list[int] = []
        self.c.tl_call_leave()

    def read(self, token: int) -> str | None:
        """Both take a token; the call if it ends one."""
        self.recent = [*self.recent[-20:], token]
        call = self.reader.read(token)
        ended = self.c.tl_call_read(token)
        assert ended == (call is not None)
        assert self.c.tl_call_is_open() == (self.reader.state != OUTSIDE)
        if call is not None:
            assert self.ffi.string(self.c.tl_call_text()).decode() == call
        return call

    def sample(self, logits: np.ndarray[Any, Any]) -> int:
        """What both draw."""
        expected = self.sampler.sample(logits, self.recent, self.reader.handicaps())
        self.logits[:] = logits
        recent = self.ffi.new("tl_token_t[]", self.recent)
        drawn = self.c.tl_call_sample(self.c.tl_logits(), recent, len(self.recent), self.settings, self.random)
        assert drawn == expected
        return expected


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_samples_the_calls_that_the_specification_samples(library: HostLibrary, name: str) -> None:
    plan, random = call_models.plan(), np.random.default_rng(len(name))
    both = BothSamplers(library, SETTINGS[name], seed=7)
    calls = 0
    for number in range(60):
        spread = (3000, 300_000, 2**28)[number % 3]
        both.read(plan.call)
        while both.reader.state != OUTSIDE:
            logits = np.clip(random.normal(0, spread, len(plan.texts)), -(2**31) + 1, 2**31 - 1).astype(np.int32)
            call = both.read(both.sample(logits))
        assert call is not None
        plan.catalogue.parse(call)
        calls += 1
    assert calls == 60


def test_thousands_of_calls_of_the_c_are_all_in_the_catalogue(library: HostLibrary) -> None:
    plan, random = call_models.plan(), np.random.default_rng(0)
    both = BothSamplers(library, SETTINGS["hottest"], seed=1)
    rows = random.normal(0, 2**20, (64, len(plan.texts))).astype(np.int32)
    names: dict[str, int] = {}
    for _ in range(3000):
        both.c.tl_call_read(plan.call)
        ended = False
        while not ended:
            both.logits[:] = rows[int(random.integers(64))]
            token = both.c.tl_call_sample(both.c.tl_logits(), both.ffi.NULL, 0, both.settings, both.random)
            ended = both.c.tl_call_read(token)
        name, _ = plan.catalogue.parse(both.ffi.string(both.c.tl_call_text()).decode())
        names[name] = names.get(name, 0) + 1
    assert sum(names.values()) == 3000
    assert set(names) == set(plan.catalogue.calls)


def test_outside_of_a_call_its_inner_marks_are_never_sampled(library: HostLibrary) -> None:
    plan = call_models.plan()
    inner = [plan.end_call, plan.result, plan.end_result]
    logits = np.full(len(plan.texts), -(2**31) + 1, np.int32)
    logits[inner] = 2**31 - 1
    for settings in SETTINGS.values():
        both = BothSamplers(library, settings, seed=3)
        both.recent = list(range(len(plan.texts)))[-20:]
        assert all(both.sample(logits) not in inner for _ in range(20))


def test_outside_of_a_call_its_beginning_is_sampled_with_the_same_caution(library: HostLibrary) -> None:
    plan, random = call_models.plan(), np.random.default_rng(11)
    for settings in SETTINGS.values():
        both = BothSamplers(library, settings, seed=5)
        for logits in (random.normal(0, 2**17, (40, len(plan.texts)))).astype(np.int32):
            logits[plan.call] = np.max(logits) + random.integers(0, 2 * plan.caution)
            both.sample(logits)
        both.sample(np.full(len(plan.texts), -(2**31) + 1, np.int32))


def test_verify_proves_a_model_with_a_catalogue() -> None:
    model = quantize(call_models.call_model(context=64, seed=5))
    verdicts = list(verify(model, call_models.tokenizer(), temperatures=(0.0, 2.0)))
    assert [verdict.difference for verdict in verdicts] == [None, None]


def test_a_model_without_a_catalogue_has_no_calls_in_its_program() -> None:
    model = call_models.call_model()
    plain = replace(model, config=replace(model.config, actions=None))
    files = emit_project(quantize(plain), call_models.tokenizer(), load_board("host")).files
    assert "src/engine/calls.c" not in files
    assert "#define TL_ACTIONS 0\n" in files["src/call_tables.h"]


def test_a_catalogue_for_a_tokenizer_without_the_marks_is_refused(stories_tokenizer: Any, tmp_path: Path) -> None:
    model = call_models.call_model()
    config = replace(model.config, vocab_size=stories_tokenizer.vocab_size)
    other = replace(call_models.call_model(), config=config)
    other = replace(other, embedding=np.zeros((config.vocab_size, config.dim), np.float32))
    with pytest.raises(UserError, match="needs a model whose tokenizer has the control tokens <call>"):
        emit_project(quantize(other), stories_tokenizer, load_board("host"))
