#include "settings.h"

#include <stddef.h>

#include "model.h"
#include "sampler.h"
#include "session.h"

enum { TEMPERATURE = 1, TOP_K, TOP_P, MIN_P, REPETITION_PENALTY, SEED, MAX_TOKENS, OVERFLOW_MODE };

static const char *const overflow_words[] = {"slide", "stop"};

const struct tl_setting tl_settings[TL_SETTINGS] = {
    {TEMPERATURE, TL_Q16, 0, TL_TEMPERATURE_MAX, "temp", "temperature, 0 = greedy", NULL},
    {TOP_K, TL_WHOLE, 0, TL_VOCAB_SIZE, "topk", "keep the N likeliest tokens, 0 = all", NULL},
    {TOP_P, TL_Q16, 1, TL_SAMPLER_ONE, "topp", "keep the likeliest tokens up to probability X, 1 = all", NULL},
    {MIN_P, TL_Q16, 0, TL_SAMPLER_ONE, "minp", "drop tokens less likely than X times the likeliest, 0 = none", NULL},
    {REPETITION_PENALTY, TL_Q16, TL_PENALTY_MIN, TL_PENALTY_MAX, "penalty", "repetition penalty, 1 = none", NULL},
    {SEED, TL_WHOLE, 0, UINT32_MAX, "seed", "seed of the random numbers, starts them anew", NULL},
    {MAX_TOKENS, TL_WHOLE, 0, UINT32_MAX, "max", "tokens per answer, 0 = until the model stops", NULL},
    {OVERFLOW_MODE, TL_CHOICE, TL_OVERFLOW_SLIDE, TL_OVERFLOW_STOP, "overflow",
     "slide or stop: when the context is full", overflow_words},
};

static uint32_t *value_of(const struct tl_setting *setting) {
    struct tl_settings *const settings = tl_session_settings();
    switch (setting->number) {
    case TEMPERATURE:
        return &settings->sampler.temperature;
    case TOP_K:
        return &settings->sampler.top_k;
    case TOP_P:
        return &settings->sampler.top_p;
    case MIN_P:
        return &settings->sampler.min_p;
    case REPETITION_PENALTY:
        return &settings->sampler.repetition_penalty;
    case SEED:
        return &settings->seed;
    case MAX_TOKENS:
        return &settings->max_tokens;
    default:
        return &settings->overflow;
    }
}

uint32_t tl_setting_get(const struct tl_setting *setting) {
    return *value_of(setting);
}

bool tl_setting_set(const struct tl_setting *setting, uint32_t value) {
    if (value < setting->minimum || value > setting->maximum) {
        return false;
    }
    *value_of(setting) = value;
    if (setting->number == SEED) {
        tl_session_reseed();
    }
    return true;
}
