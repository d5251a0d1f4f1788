/* The steps of a head's softmax, from which each kernel set builds its loop over the slots. Octaves are exponents of
 * two (log2). docs/arithmetic.md has the bounds. */
#ifndef TL_SOFTMAX_H
#define TL_SOFTMAX_H

#include "kernels.h"

#define TL_OCTAVE_BITS 26 /* fraction bits of octaves; the upper 9 index the table */

/* Turns a distance of two scores into octaves: ((distance >> cut) * mantissa + 2^(16 + down)) >> down, which rounds for
 * the table. */
struct tl_octaves {
    uint32_t farthest; /* any larger distance is 16 octaves or more */
    uint32_t mantissa;
    int32_t cut, down; /* down is 0 except for the smallest scales */
};

static inline struct tl_octaves tl_octaves_of(struct tl_scale scale) {
    /* A distance of 2^reach or more is at least 16 octaves, because the mantissa is at least 2^14. */
    const int32_t reach = tl_min(tl_max(6 - scale.exponent, 0), 32), cut = tl_max(reach - 16, 0);
    /* The product has `right` more fraction bits than octaves in Q9. */
    const int32_t right = tl_min(tl_max(7 - scale.exponent - cut, 1), 31), down = tl_max(right - 17, 0);
    return (struct tl_octaves){
        reach == 32 ? UINT32_MAX : (1u << reach) - 1u,
        (uint32_t)scale.mantissa << (17 - right + down),
        cut,
        down,
    };
}

/* The probability, Q15, of a score that is `distance` <= how->farthest below the highest. down: how->down. */
static inline uint32_t tl_probability(const struct tl_octaves *how, uint32_t distance, int32_t down) {
    const uint32_t octaves = ((distance >> how->cut) * how->mantissa + (1u << (16 + down))) >> down; /* < 32 octaves */
    return (((uint32_t)tl_softmax_table[octaves >> 17 & 511u] >> (octaves >> TL_OCTAVE_BITS)) + 1u) >> 1;
}

/* The attention weight of a slot: its probability times the packed scale of its V, in units of 2^top; below 2^26. */
static inline int32_t tl_slot_weight(uint32_t probability, uint32_t packed, int32_t top) {
    return (int32_t)((probability * (packed & 2047u)) >> (top + TL_SCALE_EXPONENT_BIAS - (int32_t)(packed >> 11)));
}

/* The loop over a head's slots: the slots that remain, and the results of those before. Assembly in the kernels relies
 * on the offsets of the fields. */
struct tl_weighing {
    struct tl_octaves octaves;
    uint32_t rounding;                /* 2^16, plus one octave: so the last bit shifted out rounds a probability */
    int32_t highest, top;             /* the highest score; the largest packed exponent, biased */
    const uint16_t *table, *v_scales; /* v_scales: of the next slot */
    uint32_t total;                   /* of the probabilities so far */
    int32_t largest;                  /* of the weights so far */
    int32_t *scores, *end;            /* the next slot's score, which its weight replaces; the end of the slots */
};

static inline struct tl_weighing tl_weighing_of(struct tl_octaves octaves, int32_t highest, const uint16_t *v_scales,
                                                int32_t top, int32_t *scores, uint32_t slots) {
    const uint32_t rounding = 1u << TL_OCTAVE_BITS | 1u << 16;
    return (struct tl_weighing){octaves,          rounding,      highest, top + TL_SCALE_EXPONENT_BIAS,
                                tl_softmax_table, v_scales,      0,       0,
                                scores,           scores + slots};
}

static inline void tl_weigh_slots(struct tl_weighing *job) {
    for (; job->scores != job->end; job->scores++, job->v_scales++) {
        const uint32_t distance = (uint32_t)job->highest - (uint32_t)*job->scores; /* exact modulo 2^32 */
        *job->scores = 0;
        if (distance > job->octaves.farthest) continue;
        const uint32_t probability = tl_probability(&job->octaves, distance, job->octaves.down);
        *job->scores = tl_slot_weight(probability, *job->v_scales, job->top - TL_SCALE_EXPONENT_BIAS);
        job->total += probability;
        job->largest = tl_max(job->largest, *job->scores);
    }
}

/* The softmax of one head from the total of its probabilities and the largest of its weights. */
static inline struct tl_softmax tl_softmax_of(uint32_t total, int32_t largest, int32_t top, int32_t bits) {
    /* One more bit if rounding could carry into it. */
    const int32_t down = tl_max(tl_bit_length((uint32_t)(largest + (largest >> bits))) - bits, 0);
    return (struct tl_softmax){total, down, down + top};
}

#endif
