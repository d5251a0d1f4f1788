"""A checkpoint is inspected without being read, and converted in less memory than twice its float32 size.

Each run is a process of its own, and the figure is its peak resident size over what it took after its imports. The
checkpoints are zeros in sparse files, which take no room on disk but do in memory.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.unit.gguf_files import entry, header, string, table_entry
from tests.unit.huggingface_files import MOBILELLM_125M, TINYLLAMA, llama_shapes, write_sparse
from tinyllm.codegen.arithmetic.float_model import ModelConfig

STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="this system does not tell a process its peak memory")

MOBILELLM_CUT = replace(MOBILELLM_125M, name="MobileLLM-40M", schedule=tuple(range(6)))

PROGRAM = r"""
import json, re, sys
from pathlib import Path
import gguf.quants
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.codegen.arithmetic.quantize import quantize

def peak():
    # Not getrusage: its figure starts at that of the process which started this one.
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])

path, baseline = Path(sys.argv[1]), peak()
facts = inspect_checkpoint(path)
peaks = [peak()]
if sys.argv[2] == "convert":
    model = read_model(path)
    peaks.append(peak())
    assert quantize(model, 256).embedding.codes.shape == (facts.config.vocab_size, facts.config.dim)
    peaks.append(peak())
print(json.dumps([facts.n_parameters, *(peak - baseline for peak in peaks)]))
"""


@dataclass(frozen=True)
class Figures:
    """Bytes over the baseline, at most, up to the end of each step."""

    n_parameters: int
    inspected: int
    read: int = 0
    converted: int = 0


def measure(path: Path, what: str) -> Figures:
    command = [sys.executable, "-c", PROGRAM, str(path), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Figures(*json.loads(done.stdout))


def write_sparse_gguf(path: Path, config: ModelConfig) -> Path:
    """A llama of any size in float32."""
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "model.layers": "blk",
    }
    numbers = {
        "context_length": config.context,
        "embedding_length": config.dim,
        "block_count": config.n_layers,
        "feed_forward_length": config.hidden_dim,
        "attention.head_count": config.n_heads,
        "attention.head_count_kv": config.n_kv_heads,
    }
    shapes = llama_shapes(config)
    entries = [
        entry(b"general.architecture", 8, string(b"llama")),
        entry(b"llama.attention.layer_norm_rms_epsilon", 6, bytes.fromhex("acc52737")),
        *(entry(f"llama.{key}".encode(), 4, value.to_bytes(4, "little")) for key, value in numbers.items()),
    ]
    table, end = b"", 0
    for name, shape in shapes.items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        table += table_entry(name.encode(), shape[::-1], 0, end)
        end += -(-math.prod(shape) * 4 // 32) * 32
    head = header(*entries, tensors=len(shapes)) + table
    with path.open("wb") as file:
        file.write(head)
        file.truncate(-(-len(head) // 32) * 32 + end)
    return path


FORMS: dict[str, Callable[[Path, ModelConfig], Path]] = {
    "safetensors F32": lambda path, config: write_sparse(path / config.name, config, "F32", 2),
    "safetensors BF16": lambda path, config: write_sparse(path / config.name, config, "BF16", 2),
    "GGUF F32": lambda path, config: write_sparse_gguf(path / f"{config.name}.gguf", config),
}


def test_a_model_of_a_billion_parameters_is_inspected_in_seconds_and_a_few_megabytes(tmp_path: Path) -> None:
    folder = write_sparse(tmp_path / "TinyLlama", TINYLLAMA, "BF16", 3)
    start = time.monotonic()
    figures = measure(folder, "inspect")
    assert time.monotonic() - start < 30
    assert figures.n_parameters == 1_100_048_384
    assert figures.inspected < 16 << 20


@pytest.mark.parametrize(
    ("config", "n_parameters"),
    [
        pytest.param(MOBILELLM_CUT, 39_673_152, id="40M"),
        pytest.param(MOBILELLM_125M, 124_635_456, id="125M", marks=pytest.mark.sweep),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_converting_takes_less_than_twice_the_float32_size(
    form: str, config: ModelConfig, n_parameters: int, tmp_path: Path
) -> None:
    figures = measure(FORMS[form](tmp_path, config), "convert")
    assert figures.n_parameters == n_parameters
    # The model itself must be there, or nothing has been measured.
    assert 4 * n_parameters <= figures.read < 1.3 * 4 * n_parameters
    assert figures.converted < 2 * 4 * n_parameters
