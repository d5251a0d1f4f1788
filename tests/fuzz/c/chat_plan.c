/* The chat template: any bytes as what a person says.
 *
 *     how, last token (2), room (2), bytes     how: bit 0 the conversation begins here
 *
 * A turn is the template's own tokens around those of the text, in which there is no control token.
 */
#include <string.h>

#include "call_tables.h"
#include "chat.h"
#include "model.h"
#include "promise.h"
#include "tokenizer.h"

/* A text may also be too long once it is normalised. NFKC makes 33 bytes of the three of U+FDFA; nothing grows more. */
#define MOST_GROWTH 11u

static bool is_control(uint32_t token) {
    return token == TL_CALL || token == TL_END_CALL || token == TL_RESULT || token == TL_END_RESULT ||
           token == TL_BOS || token == TL_EOS || tl_is_stop(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    const bool first = (take_u8(&input) & 1u) != 0;
    const uint32_t drawn = take_u8(&input) | (uint32_t)take_u8(&input) << 8;
    const uint32_t last_token = drawn % (TL_VOCAB_SIZE + 1u) == TL_VOCAB_SIZE ? TL_CHAT_END : drawn % TL_VOCAB_SIZE;
    const uint32_t room = 1u + (take_u8(&input) | (uint32_t)take_u8(&input) << 8) % (4u * TL_TEXT_MAX);
    tl_token_t *const tokens = malloc(room * sizeof *tokens);
    PROMISE(tokens != NULL);
    const uint32_t n =
        tl_chat_turn(input.bytes, (uint32_t)input.left, first, first ? TL_NO_TOKEN : last_token, tokens, room);
    if (n != TL_ENCODE_TOO_LONG) {
        const struct tl_chat_literal *const lead = first ? &tl_chat_first : &tl_chat_following;
        const uint32_t has = !first && last_token == TL_CHAT_END ? TL_CHAT_ENDED : 0;
        const uint32_t begin = lead->n_tokens - has, end = n - tl_chat_after.n_tokens;
        PROMISE(n <= room && n >= begin + tl_chat_after.n_tokens);
        PROMISE(memcmp(tokens, lead->tokens + has, begin * sizeof *tokens) == 0);
        PROMISE(memcmp(tokens + end, tl_chat_after.tokens, tl_chat_after.n_tokens * sizeof *tokens) == 0);
        for (uint32_t i = begin; i < end; i++) PROMISE(tokens[i] < TL_VOCAB_SIZE && !is_control(tokens[i]));
    } else {
        const uint32_t around = (first ? tl_chat_first : tl_chat_following).n_text + tl_chat_after.n_text;
        PROMISE(room < 4u * TL_TEXT_MAX || MOST_GROWTH * (input.left + around) > TL_TEXT_MAX);
    }
    free(tokens);
    return 0;
}
