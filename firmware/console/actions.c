#include "actions.h"

#include <stddef.h>
#include <string.h>

#include "call_tables.h"
#include "decimal.h"
#include "port.h"

#define NAME_MAX 32u /* with its terminating zero; the catalogue's names are shorter */

struct tinyllm_result {
    char text[TL_RESULT_MAX + 1u];
    uint32_t n;
};

static tinyllm_handler handlers[TL_CALLS]; /* in the order of tl_call_name */
static struct tinyllm_result said;

bool tinyllm_action(const char *name, tinyllm_handler handler) {
    for (uint32_t i = 0; i < TL_CALLS; i++) {
        if (strcmp(name, tl_call_name[i]) == 0) {
            handlers[i] = handler;
            return true;
        }
    }
    return false;
}

#if defined(__GNUC__)
__attribute__((weak))
#endif
void tinyllm_register_actions(void) {
}

void tl_actions_start(void) {
    tl_port_actions();
    tinyllm_register_actions();
}

/* The index of a call's handler; TL_CALLS if it has none. */
static uint32_t find_call(const char *text) {
    const char *const bracket = strchr(text, '(');
    char name[NAME_MAX];
    const size_t n = bracket == NULL ? sizeof name : (size_t)(bracket - text);
    if (n >= sizeof name) {
        return TL_CALLS;
    }
    memcpy(name, text, n);
    name[n] = '\0';
    uint32_t found = 0;
    while (found < TL_CALLS && (handlers[found] == NULL || strcmp(name, tl_call_name[found]) != 0)) found++;
    return found;
}

bool tl_action_known(const char *text) {
    return find_call(text) < TL_CALLS;
}

const char *tl_action_run(const char *text) {
    const uint32_t found = find_call(text);
    if (found == TL_CALLS) {
        return NULL;
    }
    const struct tinyllm_call call = {tl_call_name[found], strchr(text, '(') + 1};
    said.n = 0;
    const bool done = handlers[found](&call, &said);
    if (said.n == 0) {
        tinyllm_say(&said, done ? "ok" : "error: failed");
    }
    said.text[said.n] = '\0';
    return said.text;
}

/* --- Arguments --- */

/* The text after "NAME=" of an argument; NULL if there is no such argument. Text in quotes begins no argument. */
static const char *find_value(const struct tinyllm_call *call, const char *argument) {
    const size_t length = strlen(argument);
    bool quoted = false, first = true;
    for (const char *at = call->arguments; *at != '\0'; at++) {
        if (!quoted && (first || *at == ' ')) {
            const char *const name = first ? at : at + 1;
            if (strncmp(name, argument, length) == 0 && name[length] == '=') {
                return name + length + 1;
            }
        }
        first = false;
        quoted ^= *at == '"';
    }
    return NULL;
}

bool tinyllm_flag(const struct tinyllm_call *call, const char *argument) {
    const char *const value = find_value(call, argument);
    return value != NULL && strncmp(value, "true", 4) == 0;
}

int32_t tinyllm_number(const struct tinyllm_call *call, const char *argument) {
    const char *value = find_value(call, argument);
    if (value == NULL) {
        return 0;
    }
    const bool negative = *value == '-';
    uint32_t size = 0; /* at most 2^31, which the catalogue guarantees */
    for (value += negative; *value >= '0' && *value <= '9'; value++) {
        size = size * 10u + (uint32_t)(*value - '0');
    }
    return (int32_t)(negative ? 0u - size : size);
}

uint32_t tinyllm_text(const struct tinyllm_call *call, const char *argument, char *text, uint32_t room) {
    const char *const value = find_value(call, argument);
    uint32_t n = 0;
    if (value != NULL && *value == '"') {
        while (n + 1u < room && value[1u + n] != '"') {
            text[n] = value[1u + n];
            n++;
        }
    }
    if (room > 0) {
        text[n] = '\0';
    }
    return n;
}

bool tinyllm_is(const struct tinyllm_call *call, const char *argument, const char *word) {
    const char *const value = find_value(call, argument);
    const size_t length = strlen(word);
    return value != NULL && *value == '"' && strncmp(value + 1, word, length) == 0 && value[1u + length] == '"';
}

/* --- The result that the model gets --- */

void tinyllm_say(struct tinyllm_result *result, const char *text) {
    while (*text != '\0' && result->n < TL_RESULT_MAX) {
        result->text[result->n++] = *text++;
    }
}

void tinyllm_say_number(struct tinyllm_result *result, int32_t value) {
    char digits[TL_DECIMAL_MAX];
    if (value < 0) {
        tinyllm_say(result, "-");
    }
    tl_print_whole(value < 0 ? 0u - (uint32_t)value : (uint32_t)value, digits);
    tinyllm_say(result, digits);
}
