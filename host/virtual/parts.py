"""The parts of a token's work, and the firmware's functions of each part. Only this file names them.

A function counts for its own part. A helper that many parts call (arithmetic, a copy, the compiler's library) counts
for the part of its caller.
"""

from __future__ import annotations

import re
from enum import IntEnum
from fnmatch import fnmatchcase


class Part(IntEnum):
    """Numbered as in the files of a profile.

    norms: RMSNorm and the quantisation of vectors. rest: embedding, RoPE, SiLU, the KV cache, the calls between cores.
    """

    CALLER = 0
    MATRICES = 1
    ATTENTION = 2
    NORMS = 3
    SAMPLING = 4
    REST = 5

    @property
    def title(self) -> str:
        """The part's name for people and documents."""
        return self.name.lower()


PARTS: tuple[Part, ...] = tuple(part for part in Part if part is not Part.CALLER)

SPLIT = (Part.MATRICES, Part.ATTENTION)
"""The parts that two cores divide between them."""

ROOTS = ("tl_forward", "tl_prefill", "tl_sample", "tl_parallel_other")
"""The functions that make a token: forward pass, prefill, sampler, and the second core's share of these."""

TABLE: dict[Part, str] = {
    Part.MATRICES: (
        "tl_matmul* run matmul_groups multiply groups_of add_product expand expand_four tl_expand* tl_dot_groups* "
        "tl_dot_tokens* groups_of_* tl_portable_dot_groups_int4 tl_requantize_rows tl_requantize_tokens "
        "large_value"
    ),
    Part.ATTENTION: (
        "attention attend attend_at_once tl_score_rows add_columns score_* tl_softmax_* tl_weigh_slots weigh_slots "
        "weigh_fours tl_mix_rows mix_* tl_unpack_int4"
    ),
    Part.NORMS: "norm norm_tokens tl_rmsnorm_* tl_gain_products quantize tl_quantize_*",
    Part.SAMPLING: (
        "tl_sample tl_penalize sample_top_p argmax clear mark times exponents_of set_reach octaves_to distance_of "
        "distance_of_top_k list_candidates smaller id_of point_below draw draw_from_all tl_random_* tl_is_kept "
        "tl_keep_* tl_drop keep_at weigh count_ranges weigh_ranges weight_of* first_shift share tl_first_above "
        "tl_copy_above copy_32 tl_count_* count tl_sum_probabilities sum_fours tl_exponent tl_logit_probability "
        "probability_of"
    ),
    Part.REST: (
        "tl_forward tl_prefill run_tokens run_block feed_forward tl_matrix_row tl_add_q16 set_angles tl_sine_* "
        "tl_cosine_* remember remember_token turn_query rotate tl_rotate pack gate_tokens tl_silu_* silu_* tl_parallel "
        "tl_parallel_other tl_port_fork tl_port_join push pop"
    ),
    Part.CALLER: (
        "tl_code tl_code_int4 tl_dot_rows dot dot_* long_way tl_requantize tl_requantize_vector requantize_* "
        "quantize_eights tl_saturate* tl_round* tl_exp2_* tl_sigmoid_* tl_reciprocal_sqrt tl_isqrt32 tl_largest "
        "tl_magnitude_bits tl_normalize_* tl_pack_* tl_unpack_* mem* divide_* __*"
    ),
}
"""The functions of each part, as patterns of fnmatch."""

PATTERNS = tuple((pattern, part) for part, patterns in TABLE.items() for pattern in patterns.split())

COPY = re.compile(r"[.$](?:constprop|isra|part|cold|lto_priv)(?:[.$]\d+)?")
"""What a compiler appends to the name of a function's copy."""


def part_of(function: str) -> Part | None:
    """The part of the function with this symbol. None if TABLE does not know it: it then counts for its caller."""
    name = COPY.sub("", function)
    return next((part for pattern, part in PATTERNS if fnmatchcase(name, pattern)), None)
