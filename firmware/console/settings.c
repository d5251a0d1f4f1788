#include "settings.h"

#include "session.h"

static uint32_t *value_of(const struct tl_setting *setting) {
    struct tl_settings *const settings = tl_session_settings();
    switch (setting->number) {
    case TL_TEMPERATURE:
        return &settings->sampler.temperature;
    case TL_TOP_K:
        return &settings->sampler.top_k;
    case TL_TOP_P:
        return &settings->sampler.top_p;
    case TL_MIN_P:
        return &settings->sampler.min_p;
    case TL_REPETITION_PENALTY:
        return &settings->sampler.repetition_penalty;
    case TL_SEED:
        return &settings->seed;
    case TL_MAX_TOKENS:
        return &settings->max_tokens;
    default:
        return &settings->overflow;
    }
}

void tl_settings_start(void) {
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        (void)tl_setting_set(&tl_setting_table[i], tl_setting_table[i].start);
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
    if (setting->number == TL_SEED) {
        tl_session_reseed();
    }
    return true;
}
