/* Calls: any tokens that are read, any logits that are sampled from.
 *
 *     temperature (4), seed (4), then of each token: how (1), and id (2) if it is read; how: 0 to 127 a new call begins,
 *     128 to 191 the id is read, else one is sampled from logits that the byte and the id make
 *
 * Within a call whatever is sampled leads on or ends it, and its text is no longer than the catalogue's longest call.
 * If CALLS names a file, each call is added to it, a line each, for the specification to read.
 */
#include "calls.h"

#include <string.h>

#include "actions.h"
#include "promise.h"
#include "session.h"

#define MOST_SAMPLES 400u

static bool look_at(const struct tinyllm_call *call, struct tinyllm_result *result) {
    static const char *const arguments[] = {"room", "on", "level", "text", "words", "most", "pin", "minutes"};
    char text[8];
    for (uint32_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
        const uint32_t n = tinyllm_text(call, arguments[i], text, sizeof text);
        PROMISE(n < sizeof text && strlen(text) <= n);
        tinyllm_say(result, text);
        tinyllm_say_number(result, tinyllm_number(call, arguments[i]));
        tinyllm_say(result, tinyllm_flag(call, arguments[i]) || tinyllm_is(call, arguments[i], "kitchen") ? "y" : "n");
    }
    return true;
}

static void carry_out(const char *call) {
    const char *const name = getenv("CALLS");
    FILE *const file = name != NULL ? fopen(name, "a") : NULL;
    const size_t n = strlen(call);
    PROMISE(n > 2 && n <= TL_CALL_MAX && call[n - 1u] == ')' && strchr(call, '(') != NULL);
    const char *const result = tl_action_run(call);
    PROMISE(result != NULL && strlen(result) > 0 && strlen(result) <= TL_RESULT_MAX);
    if (file != NULL) {
        (void)fprintf(file, "%s\n", call);
        (void)fclose(file);
    }
}

static uint32_t sample(uint32_t drawn, const struct tl_sampler_settings *settings, struct tl_random *random) {
    static int32_t logits[TL_VOCAB_SIZE + 64u];
    struct tl_random row;
    tl_random_seed(&row, drawn);
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        logits[i] = (int32_t)tl_random_next(&row) >> drawn % 24u | 1; /* never INT32_MIN */
    }
    return tl_call_sample(logits, NULL, 0, settings, random);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    const struct tl_sampler_settings settings = {take_u32(&input) % (100u << 16), 0, TL_SAMPLER_ONE, 0, TL_SAMPLER_ONE};
    struct tl_random random;
    uint32_t samples = 0;
    tl_random_seed(&random, take_u32(&input));
    for (uint32_t i = 0; i < TL_CALLS; i++) PROMISE(tinyllm_action(tl_call_name[i], look_at));
    tl_call_leave();
    while (input.left > 0 && samples < MOST_SAMPLES) {
        const uint8_t how = take_u8(&input);
        uint32_t token = TL_CALL;
        const bool open = tl_call_is_open(), sampled = how >= 192u;
        if (how >= 128u) {
            const uint32_t drawn = take_u8(&input) | (uint32_t)take_u8(&input) << 8;
            token = sampled ? sample(drawn + ((uint32_t)how << 16), &settings, &random) : drawn % TL_VOCAB_SIZE;
            samples += sampled;
        }
        PROMISE(token < TL_VOCAB_SIZE);
        PROMISE(!sampled || open || (token != TL_END_CALL && token != TL_RESULT && token != TL_END_RESULT));
        const bool ended = tl_call_read(token);
        PROMISE(!ended || (open && token == TL_END_CALL && !tl_call_is_open()));
        PROMISE(!(open && sampled) || ended || tl_call_is_open());
        if (ended) {
            carry_out(tl_call_text());
        }
    }
    return 0;
}
