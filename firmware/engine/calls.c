#include "calls.h"

#include <string.h>

#include "call_tables.h"
#include "fixedpoint.h"
#include "pieces.h"

#define COMPLETE 0u
#define START (TL_CALL_STATES - 1u)
#define NOWHERE UINT16_MAX /* outside of any call, and after bytes that may not follow */

/* Marks the logit of a token that may not follow, until move_out_of_reach. */
#define FORBIDDEN INT32_MIN

/* A token whose logit is this far below the largest is out of reach at every temperature. */
#define FARTHEST (INT32_C(1) << 30)

static uint32_t state = NOWHERE;
static char text[TL_CALL_MAX + 1u];
static uint32_t length; /* of the call so far */

/* The state of the automaton after n bytes. */
static uint32_t walk(uint32_t from, const uint8_t *bytes, uint32_t n) {
    for (const uint8_t *const end = bytes + n; bytes != end && from != NOWHERE; bytes++) {
        const struct tl_call_edge *edge = tl_call_edge + tl_call_first[from];
        const struct tl_call_edge *const last = tl_call_edge + tl_call_first[from + 1u];
        while (edge != last && *bytes > edge->high) edge++;
        from = edge != last && *bytes >= edge->low ? edge->next : NOWHERE;
    }
    return from;
}

void tl_call_leave(void) {
    state = NOWHERE;
}

bool tl_call_read(uint32_t token) {
    const bool ended = state == COMPLETE && token == TL_END_CALL;
    if (token == TL_CALL) {
        state = START;
        length = 0;
        return false;
    }
    const uint8_t *bytes;
    const uint32_t n = state == NOWHERE || tl_is_stop(token) ? 0 : tl_piece_text(token, &bytes);
    state = n == 0 ? NOWHERE : walk(state, bytes, n);
    if (state != NOWHERE) {
        memcpy(text + length, bytes, n); /* fits, because the automaton accepts no call over TL_CALL_MAX bytes */
        length += n;
    }
    if (ended) {
        text[length] = '\0';
    }
    return ended;
}

bool tl_call_is_open(void) {
    return state != NOWHERE;
}

const char *tl_call_text(void) {
    return text[0] == ' ' ? text + 1 : text; /* some tokenizers put a space before every text */
}

/* --- Which tokens may follow --- */

/* Within a call: forbids tokens whose bytes the automaton does not accept here. Pieces lie in slots by their length;
   those without bytes come first. */
static void forbid_by_bytes(int32_t *logits) {
    const uint8_t *bytes = tl_piece_bytes;
    for (uint32_t i = 0; i < TL_PIECE_LENGTHS; i++) {
        const uint32_t n = tl_piece_group[i].length;
        const uint32_t end = i + 1u < TL_PIECE_LENGTHS ? tl_piece_group[i + 1u].first : TL_VOCAB_SIZE;
        for (uint32_t slot = tl_piece_group[i].first; slot < end; slot++, bytes += n) {
            const uint32_t token = tl_slot_token[slot];
            if (n == 0 || walk(state, bytes, n) == NOWHERE || tl_is_stop(token)) {
                logits[token] = FORBIDDEN;
            }
        }
    }
}

/* After a complete call: only `token`, which ends it, may follow. */
static void forbid_all_but(uint32_t token, int32_t *logits) {
    const int32_t kept = logits[token];
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) logits[i] = FORBIDDEN;
    logits[token] = kept;
}

/* Moves the largest logit to 0 and forbidden ones out of reach; only distances to the largest logit count. */
static void move_out_of_reach(int32_t *logits) {
    int32_t largest = FORBIDDEN;
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) largest = tl_max(largest, logits[i]);
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        const uint32_t distance = (uint32_t)largest - (uint32_t)logits[i];
        const bool far = logits[i] == FORBIDDEN || distance > (uint32_t)FARTHEST;
        logits[i] = far ? -FARTHEST : -(int32_t)distance;
    }
}

static void forbid(int32_t *logits) {
    if (state == NOWHERE) {
        /* Lowered by the caution, but kept above FORBIDDEN. */
        logits[TL_CALL] = tl_max(logits[TL_CALL], TL_CAUTION - INT32_MAX) - TL_CAUTION;
        logits[TL_END_CALL] = logits[TL_RESULT] = logits[TL_END_RESULT] = FORBIDDEN;
    } else if (state == COMPLETE) {
        forbid_all_but(TL_END_CALL, logits);
    } else {
        forbid_by_bytes(logits);
    }
    move_out_of_reach(logits);
}

uint32_t tl_call_sample(int32_t *logits, const tl_token_t *recent, uint32_t n_recent,
                        const struct tl_sampler_settings *settings, struct tl_random *random) {
    struct tl_sampler_settings rest = *settings;
    if (settings->repetition_penalty != TL_SAMPLER_ONE) {
        tl_penalize(logits, recent, n_recent, settings->repetition_penalty);
        rest.repetition_penalty = TL_SAMPLER_ONE;
    }
    forbid(logits);
    return tl_sample(logits, recent, n_recent, &rest, random);
}
