#include "tokenizer.h"

#include <string.h>

#include "utf8.h"

/* A text is a row of symbols: at first its characters, in the end the pieces they merged into. The scratch takes four
   bytes for each byte of text, with tokens of 16 bits and no piece over 255 bytes. */
#define TEXT_ROOM (TL_TEXT_MAX + 1u) /* with the dummy prefix */

#if TL_LONGEST_PIECE < 256
typedef uint8_t symbol_length_t;
#else
typedef uint16_t symbol_length_t;
#endif

static uint8_t text_bytes[TEXT_ROOM];            /* normalised */
static symbol_length_t symbol_length[TEXT_ROOM]; /* of the symbol that begins at this byte */
static tl_token_t pair_rank[TEXT_ROOM];          /* of what that symbol and the next merge into; TL_NO_TOKEN: nothing */

/* Tokens written so far. */
struct output {
    tl_token_t *tokens;
    uint32_t capacity;
    uint32_t count;     /* TL_ENCODE_TOO_LONG once one did not fit */
    bool after_unknown; /* the last symbol was no piece */
};

static const uint8_t *piece_bytes(uint32_t token, uint32_t *length) {
    *length = (uint32_t)tl_piece_offset[token + 1u] - tl_piece_offset[token];
    return tl_piece_bytes + tl_piece_offset[token];
}

/* The piece with these bytes, or TL_NO_TOKEN. */
static tl_token_t find_piece(const uint8_t *bytes, uint32_t length) {
    uint32_t low = 0, high = TL_SORTED_PIECES;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2u;
        uint32_t piece_length;
        const uint8_t *piece = piece_bytes(tl_piece_sorted[middle], &piece_length);
        int order = memcmp(bytes, piece, length < piece_length ? length : piece_length);
        if (order == 0) {
            order = (length > piece_length) - (length < piece_length);
        }
        if (order == 0) {
            return tl_piece_sorted[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1u;
        }
    }
    return TL_NO_TOKEN;
}

/* The USER_DEFINED piece, the longest of several, that text_bytes has at `at`, or TL_NO_TOKEN. */
static tl_token_t find_user_defined(uint32_t at, uint32_t end) {
    for (const tl_token_t *token = tl_user_defined; *token != TL_NO_TOKEN; token++) {
        uint32_t length;
        const uint8_t *piece = piece_bytes(*token, &length);
        if (length <= end - at && memcmp(text_bytes + at, piece, length) == 0) {
            return *token;
        }
    }
    return TL_NO_TOKEN;
}

static void put(struct output *output, tl_token_t token) {
    if (output->count < output->capacity) {
        output->tokens[output->count++] = token;
    } else {
        output->count = TL_ENCODE_TOO_LONG;
    }
}

/* The token of one symbol, or those of its bytes, or UNKNOWN once for a run of symbols. */
static void put_symbol(struct output *output, const uint8_t *bytes, uint32_t length) {
    const tl_token_t piece = find_piece(bytes, length);
    if (piece != TL_NO_TOKEN) {
        put(output, piece);
    } else if (tl_byte_token[0] != TL_NO_TOKEN) {
        for (uint32_t i = 0; i < length; i++) {
            put(output, tl_byte_token[bytes[i]]);
        }
    } else if (!output->after_unknown) {
        put(output, TL_UNKNOWN);
    }
    output->after_unknown = piece == TL_NO_TOKEN;
}

/* The rank of the piece that the symbol at `at` and the next one make. */
static tl_token_t find_pair_rank(uint32_t at, uint32_t end) {
    const uint32_t next = at + symbol_length[at];
    if (next == end) {
        return TL_NO_TOKEN;
    }
    const uint32_t length = (uint32_t)symbol_length[at] + symbol_length[next];
    const tl_token_t piece = length <= TL_LONGEST_PIECE ? find_piece(text_bytes + at, length) : TL_NO_TOKEN;
    return piece == TL_NO_TOKEN ? TL_NO_TOKEN : tl_piece_rank[piece];
}

/* Merges the symbols from `begin` to `end` and puts out what they became. Only the pairs beside a merge are looked up
   again. */
static void encode_span(struct output *output, uint32_t begin, uint32_t end) {
    for (uint32_t at = begin; at < end; at += symbol_length[at]) {
        pair_rank[at] = find_pair_rank(at, end);
    }
    for (;;) {
        tl_token_t lowest = TL_NO_TOKEN;
        uint32_t left = begin, before_left = begin, before = begin;
        for (uint32_t at = begin; at < end; at += symbol_length[at]) {
            if (pair_rank[at] < lowest) {
                lowest = pair_rank[at];
                left = at;
                before_left = before;
            }
            before = at;
        }
        if (lowest == TL_NO_TOKEN) {
            break;
        }
        symbol_length[left] = (symbol_length_t)(symbol_length[left] + symbol_length[left + symbol_length[left]]);
        pair_rank[left] = find_pair_rank(left, end);
        if (before_left < left) {
            pair_rank[before_left] = find_pair_rank(before_left, end);
        }
    }
    for (uint32_t at = begin; at < end; at += symbol_length[at]) {
        put_symbol(output, text_bytes + at, symbol_length[at]);
    }
}

/* Writes the normalised text to text_bytes and returns its length. */
static uint32_t normalize(const uint8_t *text, uint32_t n_bytes) {
    uint32_t n = 0;
    bool empty = true;
    for (uint32_t i = 0; i < n_bytes; i++) {
        if (TL_REMOVE_EXTRA_WHITESPACES && text[i] == ' ' && (i == 0 || text[i - 1u] == ' ')) {
            continue;
        }
        if (empty && TL_ADD_DUMMY_PREFIX) {
            text_bytes[n++] = ' ';
        }
        empty = false;
        if (n_bytes - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0) { /* U+2581, SentencePiece's space mark */
            text_bytes[n++] = ' ';
            i += 2;
        } else {
            text_bytes[n++] = text[i];
        }
    }
    while (TL_REMOVE_EXTRA_WHITESPACES && n > 0 && text_bytes[n - 1u] == ' ') {
        n--;
    }
    return n;
}

uint32_t tl_encode(const uint8_t *text, uint32_t n_bytes, bool bos, tl_token_t *tokens, uint32_t capacity) {
    struct output output = {tokens, capacity, 0, false};
    if (n_bytes > TL_TEXT_MAX) {
        return TL_ENCODE_TOO_LONG;
    }
    if (bos) {
        put(&output, TL_BOS);
    }
    const uint32_t end = normalize(text, n_bytes);
    uint32_t begin = 0; /* of the symbols not put out yet */
    for (uint32_t at = 0; at < end;) {
        const tl_token_t user_defined = find_user_defined(at, end);
        if (user_defined != TL_NO_TOKEN) {
            encode_span(&output, begin, at);
            put(&output, user_defined);
            output.after_unknown = false;
            uint32_t length;
            (void)piece_bytes(user_defined, &length);
            at += length;
            begin = at;
            continue;
        }
        if (TL_SPLITS_AT_SPACES && text_bytes[at] == ' ' && at > begin && text_bytes[at - 1u] != ' ') {
            encode_span(&output, begin, at);
            begin = at;
        }
        const uint32_t length = tl_utf8_length(text_bytes + at, end - at);
        symbol_length[at] = (symbol_length_t)(length == 0 || length > end - at ? 1 : length);
        at += symbol_length[at];
    }
    encode_span(&output, begin, end);
    return output.count;
}

uint32_t tl_piece_text(uint32_t token, const uint8_t **bytes) {
    static const uint8_t replacement[] = {0xEF, 0xBF, 0xBD}; /* U+FFFD */
    uint32_t length;
    *bytes = piece_bytes(token, &length);
    if (tl_piece_kind[token] == TL_PIECE_UNKNOWN) {
        *bytes = replacement;
        length = sizeof replacement;
    }
    return tl_piece_kind[token] == TL_PIECE_CONTROL ? 0 : length;
}
