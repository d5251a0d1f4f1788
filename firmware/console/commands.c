#include "commands.h"

#include <stdbool.h>
#include <string.h>

#include "answer.h"
#include "chat_template.h"
#include "decimal.h"
#include "identity.h"
#include "model.h"
#include "session.h"
#include "settings.h"
#include "text_options.h"
#include "text_write.h"

/* --- Settings --- */

static void write_value(const struct tl_setting *setting, uint32_t value) {
    char digits[TL_DECIMAL_MAX];
    if (setting->form == TL_CHOICE) {
        tl_write(setting->choices[value]);
        return;
    }
    if (setting->form == TL_Q16) {
        tl_print_q16(value, digits);
    } else {
        tl_print_whole(value, digits);
    }
    tl_write(digits);
}

static bool parse_value(const struct tl_setting *setting, const char *text, uint32_t *value) {
    switch (setting->form) {
    case TL_WHOLE:
        return tl_parse_whole(text, value);
    case TL_Q16:
        return tl_parse_q16(text, value);
    case TL_CHOICE:
        break;
    }
    for (*value = 0; *value <= setting->maximum; (*value)++) {
        if (strcmp(text, setting->choices[*value]) == 0) {
            return true;
        }
    }
    return false;
}

static void write_setting(const struct tl_setting *setting) {
    tl_write(setting->name);
    tl_write(" ");
    write_value(setting, tl_setting_get(setting));
}

static void change_setting(const struct tl_setting *setting, const char *text) {
    uint32_t value;
    if (*text != '\0' && (!parse_value(setting, text, &value) || !tl_setting_set(setting, value))) {
        tl_write(setting->name);
        tl_write(": expected ");
        write_value(setting, setting->minimum);
        tl_write(setting->form == TL_CHOICE ? " or " : " to ");
        write_value(setting, setting->maximum);
        tl_write(setting->form == TL_Q16 ? ", up to six decimals" TL_LINE_END : TL_LINE_END);
        return;
    }
    write_setting(setting);
    tl_write(TL_LINE_END);
}

/* --- The other commands --- */

static void help(const char *text);

static void reset(const char *text) {
    (void)text;
    tl_session_reset();
    tl_write("the conversation is forgotten" TL_LINE_END);
}

/* Whether `text` is "on" or "off"; *on says which. */
static bool parse_switch(const char *text, bool *on) {
    *on = strcmp(text, "on") == 0;
    return *on || strcmp(text, "off") == 0;
}

static void echo(const char *text) {
    bool on;
    if (parse_switch(text, &on)) {
        tl_text_set_echo(on);
    } else {
        tl_write("echo: expected on or off" TL_LINE_END);
    }
}

#if TL_CHAT
static void write_chat(void) {
    tl_write(tl_text_chat() ? "chat on" TL_LINE_END : "chat off" TL_LINE_END);
}

static void chat(const char *text) {
    bool on;
    if (*text != '\0' && !parse_switch(text, &on)) {
        tl_write("chat: expected on or off" TL_LINE_END);
        return;
    }
    if (*text != '\0') {
        tl_text_set_chat(on);
    }
    write_chat();
}
#endif

/* Writes tokens and time, and the rate if there were enough tokens and time for a meaningful one. */
static void write_pass(const char *what, uint32_t tokens, uint32_t microseconds) {
    tl_write(what);
    tl_write_whole(tokens);
    tl_write(" tokens in ");
    tl_write_scaled(microseconds / 1000u, 3);
    tl_write(" s");
    if ((tokens >= 4u && microseconds >= 1000u) || (tokens >= 16u && microseconds >= 100u)) {
        tl_write(", ");
        tl_write_scaled((uint64_t)tokens * 10000000u / microseconds, 1);
        tl_write(" tok/s");
    }
    tl_write(TL_LINE_END);
}

static void stats(const char *text) {
    (void)text;
    const struct tl_answer *const answer = tl_session_answer();
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        write_setting(&tl_setting_table[i]);
        tl_write(i + 1u < TL_SETTINGS ? ", " : TL_LINE_END);
    }
#if TL_CHAT
    write_chat();
#endif
    tl_write("kernels " TL_KERNEL_SET TL_LINE_END);
    tl_text_warn_of_kernels();
    tl_write("context ");
    tl_write_whole(tl_session_context_used());
    tl_write(" of ");
    tl_write_whole(TL_CONTEXT);
    tl_write(TL_LINE_END);
    write_pass("last prompt ", answer->prompt_tokens, tl_answer_prefill_us());
    write_pass("last answer ", answer->tokens, tl_answer_decode_us());
    tl_write("memory, bytes:");
    for (uint32_t i = 0; i < tl_memory_entries; i++) {
        tl_write(i == 0 ? " " : ", ");
        tl_write(tl_memory[i].name);
        tl_write(" ");
        tl_write_whole(tl_memory[i].bytes);
    }
    tl_write(TL_LINE_END);
}

static void text_voice(const char *text) {
    (void)text;
    tl_text_greet();
}

static const struct {
    const char *name;
    const char *help;
    void (*obey)(const char *argument);
} commands[] = {
    {"help", "lists the commands", help},
    {"reset", "forgets the conversation, restarts the random numbers from the seed", reset},
    {"echo", "on or off: show what is typed", echo},
#if TL_CHAT
    {"chat", "on or off: a line is a turn of a chat, or a prompt as it is", chat},
#endif
    {"stats", "settings, kernels, context used, the last answer, memory", stats},
    {"text", "returns to this voice from the program voice", text_voice},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void write_help(const char *name, const char *text) {
    tl_write("/");
    tl_write(name);
    tl_write("  ");
    tl_write(text);
    tl_write(TL_LINE_END);
}

static void help(const char *text) {
    (void)text;
    for (uint32_t i = 0; i < COMMANDS; i++) {
        write_help(commands[i].name, commands[i].help);
    }
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        write_help(tl_setting_table[i].name, tl_setting_table[i].help);
    }
    tl_write("Any other line is a prompt. Ctrl-C stops an answer." TL_LINE_END);
}

void tl_command(char *line) {
    char *end = line + strlen(line);
    while (end[-1] == ' ') {
        *--end = '\0';
    }
    const char *const name = line + 1;
    char *argument = line + strcspn(line, " ");
    while (*argument == ' ') {
        *argument++ = '\0';
    }
    for (uint32_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            commands[i].obey(argument);
            return;
        }
    }
    for (uint32_t i = 0; i < TL_SETTINGS; i++) {
        if (strcmp(name, tl_setting_table[i].name) == 0) {
            change_setting(&tl_setting_table[i], argument);
            return;
        }
    }
    tl_write("no such command, /help lists them" TL_LINE_END);
}
