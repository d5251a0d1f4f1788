/* The tokenizer: any bytes as a text.
 *
 *     how, room, bytes     how: bit 0 a section, bit 1 the first; room: what the answer has for tokens, 0: enough
 *
 * No more tokens than there is room for, none beyond the vocabulary, no control token from text, and the same again. If
 * TOKENS names a file, the tokens are added to it, a line for each input, for the specification to compare.
 */
#include <stdbool.h>
#include <string.h>

#include "model.h"
#include "promise.h"
#include "tokenizer.h"

static uint32_t encode(const uint8_t *text, uint32_t n, uint8_t how, tl_token_t *tokens, uint32_t room) {
    return (how & 1u) != 0 ? tl_encode_section(text, n, (how & 2u) != 0, tokens, room)
                           : tl_encode(text, n, (how & 2u) != 0, tokens, room);
}

static void write_tokens(const tl_token_t *tokens, uint32_t n) {
    const char *const name = getenv("TOKENS");
    FILE *const file = name != NULL ? fopen(name, "a") : NULL;
    if (file != NULL) {
        if (n == TL_ENCODE_TOO_LONG) {
            (void)fprintf(file, "null\n");
        }
        for (uint32_t i = 0; n != TL_ENCODE_TOO_LONG && i <= n; i++) {
            (void)fprintf(file, i == n ? (n == 0 ? "[]\n" : "]\n") : i == 0 ? "[%u" : ",%u", i < n ? tokens[i] : 0u);
        }
        (void)fclose(file);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    const uint8_t how = take_u8(&input), wanted = take_u8(&input);
    const uint32_t n = (uint32_t)input.left, room = wanted == 0 ? 4u * TL_TEXT_MAX : wanted;
    tl_token_t *const tokens = malloc(room * sizeof *tokens), *const again = malloc(room * sizeof *tokens);
    PROMISE(tokens != NULL && again != NULL);
    const uint32_t count = encode(input.bytes, n, how, tokens, room);
    PROMISE(count == TL_ENCODE_TOO_LONG || count <= room);
    PROMISE(count == TL_ENCODE_TOO_LONG || n <= TL_TEXT_MAX);
    for (uint32_t i = 0; count != TL_ENCODE_TOO_LONG && i < count; i++) {
        const bool begins = i == 0 && (how & 3u) == 2u; /* a conversation, with BOS */
        PROMISE(tokens[i] < TL_VOCAB_SIZE && (begins || !tl_is_stop(tokens[i])));
    }
    PROMISE(encode(input.bytes, n, how, again, room) == count);
    PROMISE(count == TL_ENCODE_TOO_LONG || memcmp(tokens, again, count * sizeof *tokens) == 0);
    write_tokens(tokens, count);
    free(tokens);
    free(again);
    return 0;
}
