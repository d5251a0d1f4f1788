#include "chat.h"

#if TL_CHAT

#include <string.h>

#include "model.h"
#include "tokenizer.h"

static uint8_t section[TL_TEXT_MAX]; /* the user's text with the template's text directly before and after it */

struct span {
    const uint8_t *bytes;
    uint32_t n;
};

/* The bytes of the white space character that the span begins with, 0 if none. n_kinds: how many of tl_chat_spaces
   count as white space. */
static uint32_t space_at_begin(struct span span, uint32_t n_kinds) {
    for (uint32_t i = 0; i < n_kinds; i++) {
        const struct tl_chat_space *const space = &tl_chat_spaces[i];
        if (span.n >= space->n && memcmp(span.bytes, space->bytes, space->n) == 0) {
            return space->n;
        }
    }
    return 0;
}

static uint32_t space_at_end(struct span span, uint32_t n_kinds) {
    for (uint32_t i = 0; i < n_kinds; i++) {
        const struct tl_chat_space *const space = &tl_chat_spaces[i];
        if (span.n >= space->n && memcmp(span.bytes + span.n - space->n, space->bytes, space->n) == 0) {
            return space->n;
        }
    }
    return 0;
}

static struct span trim(struct span span, bool begin, bool end, uint32_t n_kinds) {
    uint32_t n;
    while (begin && (n = space_at_begin(span, n_kinds)) > 0) {
        span.bytes += n;
        span.n -= n;
    }
    while (end && (n = space_at_end(span, n_kinds)) > 0) {
        span.n -= n;
    }
    return span;
}

/* The tokens written so far; n becomes TL_ENCODE_TOO_LONG when they do not fit. */
struct output {
    tl_token_t *tokens;
    uint32_t n;
    uint32_t capacity;
};

static void put_tokens(struct output *output, const tl_token_t *tokens, uint32_t n) {
    if (output->n == TL_ENCODE_TOO_LONG || n > output->capacity - output->n) {
        output->n = TL_ENCODE_TOO_LONG;
        return;
    }
    memcpy(output->tokens + output->n, tokens, n * sizeof *tokens);
    output->n += n;
}

static void put_section(struct output *output, struct span text, bool first) {
    if (output->n == TL_ENCODE_TOO_LONG) {
        return;
    }
    const uint32_t n =
        tl_encode_section(text.bytes, text.n, first, output->tokens + output->n, output->capacity - output->n);
    output->n = n == TL_ENCODE_TOO_LONG ? n : output->n + n;
}

uint32_t tl_chat_turn(const uint8_t *text, uint32_t n_bytes, bool first, uint32_t last_token, tl_token_t *tokens,
                      uint32_t capacity) {
    const struct tl_chat_literal *const lead = first ? &tl_chat_first : &tl_chat_following;
    const struct tl_chat_literal *const tail = &tl_chat_after;
    const uint32_t has = !first && last_token == TL_CHAT_END ? TL_CHAT_ENDED : 0;
    struct output output = {tokens, 0, capacity};
    if (n_bytes > TL_TEXT_MAX) {
        return TL_ENCODE_TOO_LONG;
    }
    const struct span said = trim((struct span){text, n_bytes}, lead->trim, tail->trim, TL_CHAT_TRIMMED);
    if (said.n > TL_TEXT_MAX - lead->n_text - tail->n_text) {
        return TL_ENCODE_TOO_LONG;
    }
    memcpy(section, lead->text, lead->n_text);
    memcpy(section + lead->n_text, said.bytes, said.n);
    memcpy(section + lead->n_text + said.n, tail->text, tail->n_text);
    const struct span whole = {section, lead->n_text + said.n + tail->n_text};

    put_tokens(&output, lead->tokens + has, lead->n_tokens - has);
    put_section(&output, trim(whole, lead->strip, tail->strip, TL_CHAT_STRIPPED),
                first && lead->n_tokens + TL_PREFIX_TOKENS == 0);
    put_tokens(&output, tail->tokens, tail->n_tokens);
    return output.n;
}

#endif
