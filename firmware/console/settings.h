/* The settings that both voices read and change; codegen/arithmetic/sampler_settings.py has their ranges. */
#ifndef TL_SETTINGS_H
#define TL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "settings_table.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tl_setting_form {
    TL_WHOLE, /* a whole number */
    TL_Q16,   /* Q16.16 */
    TL_CHOICE /* one of `choices` */
};

struct tl_setting {
    uint8_t number;
    enum tl_setting_form form;
    uint32_t minimum, maximum, start;
    const char *name; /* of the command in the text voice */
    const char *help;
    const char *const *choices; /* maximum + 1 words, if the form is TL_CHOICE */
};

/* In settings_table.c, which is emitted with the model. */
extern const struct tl_setting tl_setting_table[TL_SETTINGS];

/* Sets every setting to its value at start. */
void tl_settings_start(void);

uint32_t tl_setting_get(const struct tl_setting *setting);

/* Sets a value. false, and nothing changed: the value is out of range. */
bool tl_setting_set(const struct tl_setting *setting, uint32_t value);

#ifdef __cplusplus
}
#endif

#endif
