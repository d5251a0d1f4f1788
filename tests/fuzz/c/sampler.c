/* The sampler: any settings that are taken, and any logits.
 *
 *     settings (4 bytes each), seed (4), recent (1, then that many), logits (4 each, over and over)
 *
 * What is out of range is refused and changes nothing; a value is printed as it is read. What is drawn is a token, the
 * same one from the same state, the likeliest if greedy, and with top_k one of the likeliest.
 */
#include "sampler.h"

#include <string.h>

#include "decimal.h"
#include "promise.h"
#include "session.h"
#include "settings.h"

/* Gives a setting this value if it is in its range. */
static void set(const struct tl_setting *setting, uint32_t value) {
    const uint32_t before = tl_setting_get(setting);
    const bool taken = tl_setting_set(setting, value), right = value >= setting->minimum && value <= setting->maximum;
    PROMISE(taken == right && tl_setting_get(setting) == (taken ? value : before));
    if (setting->form == TL_Q16) {
        char digits[TL_DECIMAL_MAX];
        uint32_t read;
        tl_print_q16(value, digits);
        PROMISE(strlen(digits) < sizeof digits && tl_parse_q16(digits, &read) && read == value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int32_t logits[TL_VOCAB_SIZE + 64u], again[TL_VOCAB_SIZE + 64u], penalised[TL_VOCAB_SIZE];
    tl_token_t recent[256];
    struct input input = {data, size};
    tl_settings_start();
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        const uint32_t value = take_u32(&input), span = tl_setting_table[i].maximum - tl_setting_table[i].minimum;
        set(&tl_setting_table[i], value);
        if (value > tl_setting_table[i].maximum && span < UINT32_MAX) {
            set(&tl_setting_table[i], tl_setting_table[i].minimum + value % (span + 1u));
        }
    }
    const struct tl_sampler_settings *const settings = &tl_session_settings()->sampler;
    const uint32_t seed = take_u32(&input), n_recent = take_u8(&input);
    for (uint32_t i = 0; i < n_recent; i++) recent[i] = (tl_token_t)((i & ~0xFu) + take_u8(&input)) % TL_VOCAB_SIZE;
    struct input row = input;
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        if (row.left < 4) {
            row = input;
        }
        const int32_t logit = (int32_t)take_u32(&row);
        logits[i] = again[i] = penalised[i] = logit == INT32_MIN ? -INT32_MAX : logit; /* as tl_saturate gives them */
    }
    struct tl_random random, same;
    tl_random_seed(&random, seed);
    tl_random_seed(&same, seed);
    if (settings->repetition_penalty != TL_SAMPLER_ONE) {
        tl_penalize(penalised, recent, n_recent, settings->repetition_penalty);
    }
    const uint32_t drawn = tl_sample(logits, recent, n_recent, settings, &random);
    PROMISE(drawn < TL_VOCAB_SIZE);
    PROMISE(tl_sample(again, recent, n_recent, settings, &same) == drawn && random.state == same.state);
    uint32_t likelier = 0, likelier_or_before = 0;
    for (uint32_t i = 0; i < TL_VOCAB_SIZE; i++) {
        likelier += penalised[i] > penalised[drawn];
        likelier_or_before += penalised[i] > penalised[drawn] || (penalised[i] == penalised[drawn] && i < drawn);
    }
    PROMISE(settings->temperature != 0 || likelier_or_before == 0);
    /* Logits apart by less than a step of their exponents may change places. */
    PROMISE(settings->top_k == 0 || settings->temperature > 65536u || likelier < settings->top_k);
    return 0;
}
