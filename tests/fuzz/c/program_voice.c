/* Programs: requests with any content, damaged frames and noise, in any order.
 *
 *     records of: how, length, bytes     how & 3: 0, 1 a request (type, sequence, body), 2 bytes as they are, 3 a request
 *                                        whose frame is damaged as its first two bytes say; how >> 2: polls after it
 *
 * Whatever arrives, the board says nothing but sound frames, obeys nothing that is damaged, and answers afterwards.
 */
#include <string.h>

#include "board.h"
#include "frames.h"
#include "promise.h"
#include "session.h"
#include "settings.h"

enum { HELLO_REPLY = 0x81, OK_REPLY = 0x82, SETTINGS_REPLY = 0x88 };

static const uint8_t attention[] = {0x03, 0, 0};

/* What nothing damaged may change. */
struct state {
    uint32_t digest, context_used, settings[TL_SETTINGS];
};

static struct state state_now(void) {
    struct state state = {tl_session_digest(), tl_session_context_used(), {0}};
    for (uint32_t i = 0; i < TL_SETTINGS; i++) state.settings[i] = tl_setting_get(&tl_setting_table[i]);
    return state;
}

/* How many frames that are sound these bytes hold, between zeros. */
static uint32_t sound_frames(const uint8_t *bytes, uint32_t n) {
    uint8_t payload[1024];
    uint32_t found = 0, start = 0;
    for (uint32_t at = 0; at <= n; at++) {
        if (at == n || bytes[at] == 0) {
            found += board_decode(bytes + start, at - start, payload) > 0;
            start = at + 1u;
        }
    }
    return found;
}

/* Whether a line in it gives the board back to a person, who may type on. */
static bool takes_back(const uint8_t *bytes, uint32_t n) {
    static const char line[] = "/text";
    uint32_t at = 0;
    while (at + sizeof line < n && memcmp(bytes + at, line, sizeof line - 1u) != 0) at++;
    return at + sizeof line < n;
}

static void damaged(const uint8_t *bytes, uint32_t n, uint32_t polls) {
    uint8_t wire[300];
    if (n < 4) {
        return;
    }
    const uint32_t length = board_frame(bytes + 2, n - 2u, wire);
    wire[1u + bytes[0] % (length - 2u)] ^= bytes[1];
    board_receive(attention + 1, 2, 0);
    board_ask(TL_HELLO, HELLO_REPLY); /* in the text voice the same bytes may be typed */
    const bool stays = sound_frames(wire, length) == 0 && !takes_back(wire, length) && !tl_session_active();
    const struct state before = state_now();
    board_receive(wire, length, polls);
    const struct state after = state_now();
    PROMISE(!stays || memcmp(&before, &after, sizeof before) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    board_start(false);
    board_receive(attention, sizeof attention, 1);
    board_ask(TL_HELLO, HELLO_REPLY);
    while (input.left > 1) {
        const uint8_t how = take_u8(&input), wanted = take_u8(&input);
        const uint32_t n = wanted < input.left ? wanted : (uint32_t)input.left, polls = how >> 2;
        if ((how & 3u) == 3u) {
            damaged(input.bytes, n, polls);
        } else if ((how & 3u) == 2u) {
            board_receive(input.bytes, n, polls);
        } else {
            board_request(input.bytes, n, polls);
        }
        input.bytes += n;
        input.left -= n;
    }
    board_receive(attention, sizeof attention, 1);
    board_ask(TL_HELLO, HELLO_REPLY);
    board_ask(TL_CANCEL, OK_REPLY);
    board_ask(TL_GET, SETTINGS_REPLY);
    PROMISE(board_heard.n_reply == 5u * TL_SETTINGS && !tl_session_active());
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        const uint32_t value = tl_setting_get(&tl_setting_table[i]);
        PROMISE(value >= tl_setting_table[i].minimum && value <= tl_setting_table[i].maximum);
    }
    return 0;
}
