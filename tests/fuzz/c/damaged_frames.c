/* Damaged frames by the million, at a board that is idle and at one that answers.
 *
 *     damaged_frames SEED COUNT     prints how many were sent, corrupt, passed over, sound by chance, and answers compared
 *
 * Frames of no or one byte are passed over, every other damaged one is counted; neither changes anything. One whose check
 * holds by chance is not sent. An answer that is disturbed all the time is the same answer.
 */
#include <string.h>

#include "board.h"
#include "frames.h"
#include "promise.h"
#include "sampler.h"
#include "session.h"
#include "settings.h"

#define PAYLOAD_MAX 320u
#define WIRE_MAX 1024u
#define IDLE_ROUND 1000u
#define ANSWER_TOKENS 24u

static struct tl_random chance;
static struct { unsigned long sent, corrupt, passed_over, sound_by_chance, answers; } counts;

static uint32_t below(uint32_t n) {
    return (uint32_t)((uint64_t)tl_random_next(&chance) * n >> 32);
}

/* A sound request with any body that its type may have. */
static uint32_t request(uint8_t *payload) {
    static const uint8_t types[] = {0x01, 0x02, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x0C};
    static const uint16_t sizes[] = {1, 5, 40, 0, 0, 5, 0, 6, 0, 0, 20, 0};
    const uint32_t which = below(sizeof types);
    const uint32_t n = sizes[which] + (sizes[which] >= 20 ? below(PAYLOAD_MAX - 64u) : 0);
    payload[0] = types[which];
    payload[1] = (uint8_t)(1u + below(255));
    for (uint32_t i = 0; i < n; i++) payload[2u + i] = (uint8_t)(below(3) == 0 ? below(256) : below(4));
    return n + 2u;
}

/* Flips, loses, adds, replaces or cuts off bytes between the zeros, one to three times; the new length. */
static uint32_t damage(uint8_t *wire, uint32_t n) {
    for (uint32_t times = 1 + below(3); times > 0 && n > 2; times--) {
        const uint32_t at = 1u + below(n - 2u);
        switch (below(5)) {
        case 0:
            wire[at] ^= (uint8_t)(1u << below(8));
            break;
        case 1:
            memmove(wire + at, wire + at + 1, n - at - 1u);
            n--;
            break;
        case 2:
            memmove(wire + at + 1, wire + at, n - at);
            wire[at] = (uint8_t)below(256);
            n++;
            break;
        case 3:
            wire[at] = (uint8_t)below(256);
            break;
        default:
            wire[at] = 0;
            n = at + 1u;
            break;
        }
    }
    return n;
}

/* Damages a frame and sends it, unless a part of it is sound by chance. */
static void send_damaged(void) {
    uint8_t payload[PAYLOAD_MAX], wire[WIRE_MAX], decoded[WIRE_MAX];
    const uint32_t n = damage(wire, board_frame(payload, request(payload), wire));
    uint32_t corrupt = 0, passed_over = 0, start = 0;
    for (uint32_t at = 0; at < n; at++) {
        if (wire[at] == 0) {
            if (board_decode(wire + start, at - start, decoded) > 0) {
                counts.sound_by_chance++;
                return;
            }
            corrupt += at - start > 1u;
            passed_over += at - start == 1u;
            start = at + 1u;
        }
    }
    counts.sent++;
    counts.corrupt += corrupt;
    counts.passed_over += passed_over;
    board_receive(wire, n, 0);
}

/* HELLO's count of corrupt frames, and of the settings and the conversation what may not change. */
static struct { uint32_t corrupt, context_used, digest, settings[TL_SETTINGS]; } state;

static void look(void) {
    board_ask(TL_HELLO, 0x81);
    const uint8_t *const at = board_heard.reply + 1 + 5 * 4;
    state.corrupt = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    state.context_used = tl_session_context_used();
    state.digest = tl_session_digest();
    for (uint32_t i = 0; i < TL_SETTINGS; i++) state.settings[i] = tl_setting_get(&tl_setting_table[i]);
}

static void disturb_an_idle_board(uint32_t times) {
    look();
    const uint32_t corrupt = state.corrupt, context_used = state.context_used, digest = state.digest;
    uint32_t settings[TL_SETTINGS];
    memcpy(settings, state.settings, sizeof settings);
    const unsigned long before = counts.corrupt;
    for (; times > 0; times--) send_damaged();
    look();
    PROMISE(state.corrupt - corrupt == (uint32_t)(counts.corrupt - before));
    PROMISE(state.context_used == context_used && state.digest == digest);
    PROMISE(memcmp(settings, state.settings, sizeof settings) == 0);
}

/* The digest of an answer from a conversation that begins anew; damaged frames arrive between its tokens. */
static uint32_t answer(bool disturbed) {
    static const uint8_t reset[] = {0x04, 7}, stop[] = {0x03, 8};
    static const uint8_t prompt[] = {0x02, 9, ANSWER_TOKENS, 0, 0, 0, 0, 't', 'h', 'e', ' ', 'd', 'o', 'g'};
    board_request(reset, sizeof reset, 1);
    board_request(prompt, sizeof prompt, 1);
    for (uint32_t polls = 0; tl_session_active() && polls < 8u * ANSWER_TOKENS; polls++) {
        if (disturbed) {
            send_damaged();
        }
        board_receive(NULL, 0, 1);
    }
    const uint32_t digest = tl_session_answer()->digest;
    board_request(stop, sizeof stop, 1);
    PROMISE(!tl_session_active());
    return digest;
}

int main(int argc, char **argv) {
    static const uint8_t attention[] = {0x03, 0, 0};
    PROMISE(argc == 3);
    tl_random_seed(&chance, (uint32_t)strtoul(argv[1], NULL, 10));
    const unsigned long count = strtoul(argv[2], NULL, 10);
    board_start(true);
    board_receive(attention, sizeof attention, 1);
    look();
    const uint32_t expected = answer(false);
    while (counts.sent < count) {
        const unsigned long left = count - counts.sent;
        PROMISE(answer(true) == expected);
        counts.answers++;
        disturb_an_idle_board(left < IDLE_ROUND ? (uint32_t)left : IDLE_ROUND);
    }
    (void)printf(
        "{\"sent\": %lu, \"corrupt\": %lu, \"passed_over\": %lu, \"sound_by_chance\": %lu, \"answers\": %lu}\n",
        counts.sent, counts.corrupt, counts.passed_over, counts.sound_by_chance, counts.answers);
    return 0;
}
