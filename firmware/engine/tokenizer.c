#include "tokenizer.h"

#include <string.h>

#include "cut.h"
#include "model.h"
#include "normalize.h"
#include "pieces.h"
#include "unigram.h"
#include "utf8.h"
#include "word_pieces.h"

/* A text is a row of symbols: first its characters or bytes, at the end the pieces that they merged into. The scratch
   takes four bytes for each byte of text if ranks have 16 bits and no piece is over 255 bytes, and six if ranks have 32
   bits. UNIGRAM takes seven, or eleven if its scores are doubles; WORD_PIECES takes two, WORDS one. */
#define NORMAL_ROOM (TL_TEXT_MAX + 1u) /* with the dummy prefix */
#define TEXT_ROOM (NORMAL_ROOM + TL_WORD_PREFIX + TL_WORD_SUFFIX)

static uint8_t text_bytes[TEXT_ROOM]; /* normalised */

/* The tokens written so far. */
struct output {
    tl_token_t *tokens;
    uint32_t capacity;
    uint32_t count;     /* TL_ENCODE_TOO_LONG after a token did not fit */
    bool after_unknown; /* the last symbol was no piece */
};

static void put(struct output *output, tl_token_t token) {
    if (output->count < output->capacity) {
        output->tokens[output->count++] = token;
    } else {
        output->count = TL_ENCODE_TOO_LONG;
    }
}

/* Puts out one symbol: its token, or else the tokens of its bytes, or else UNKNOWN. If TL_FUSES_UNKNOWN, a run of
   unknown symbols gives one UNKNOWN. */
static void put_symbol(struct output *output, const uint8_t *bytes, uint32_t length) {
    const tl_token_t slot = length <= TL_LONGEST_PIECE ? tl_find_slot(bytes, length) : TL_NO_SLOT;
    if (slot != TL_NO_SLOT) {
        put(output, tl_slot_token[slot]);
    } else {
#if TL_BYTE_PIECES
        for (uint32_t i = 0; i < length; i++) {
            put(output, tl_byte_token[bytes[i]]);
        }
#elif TL_HAS_UNKNOWN
        if (!(TL_FUSES_UNKNOWN && output->after_unknown)) {
            put(output, TL_UNKNOWN);
        }
#endif
    }
    output->after_unknown = slot == TL_NO_SLOT;
}

#if TL_ALGORITHM != TL_WORDS

static tl_length_t symbol_length[TEXT_ROOM + 1u]; /* bytes of the symbol that begins at this byte */

static void put_symbols(struct output *output, uint32_t begin, uint32_t end) {
    for (uint32_t at = begin; at < end; at += symbol_length[at]) {
        put_symbol(output, text_bytes + at, symbol_length[at]);
    }
}

#endif

#if TL_ALGORITHM == TL_UNIGRAM

static void encode_word(struct output *output, uint32_t begin, uint32_t end) {
    tl_unigram_cut(text_bytes + begin, end - begin, symbol_length + begin);
    put_symbols(output, begin, end);
}

#elif TL_ALGORITHM == TL_WORDS

static void encode_word(struct output *output, uint32_t begin, uint32_t end) {
    put_symbol(output, text_bytes + begin, end - begin);
}

#elif TL_ALGORITHM == TL_WORD_PIECES

static void encode_word(struct output *output, uint32_t begin, uint32_t end) {
    const uint32_t first = tl_word_pieces(text_bytes + begin, end - begin, symbol_length + begin);
    if (first == TL_NO_PIECES) {
        put(output, TL_UNKNOWN);
    } else {
        put_symbols(output, begin + first, end);
    }
}

#else

static tl_rank_t pair_rank[TEXT_ROOM]; /* rank of merging the symbol that begins at this byte with the next one */

static tl_rank_t find_pair_rank(uint32_t at, uint32_t end) {
    const uint32_t next = at + symbol_length[at];
    return next == end
               ? TL_NO_RANK
               : tl_join_rank(text_bytes + at, symbol_length[at], (uint32_t)symbol_length[at] + symbol_length[next]);
}

/* Merges the symbols from `begin` to `end` and puts out the pieces. After a merge only the two pairs beside it are
   looked up again. */
static void encode_span(struct output *output, uint32_t begin, uint32_t end) {
    for (uint32_t at = begin; at < end; at += symbol_length[at]) {
        pair_rank[at] = find_pair_rank(at, end);
    }
    for (;;) {
        tl_rank_t lowest = TL_NO_RANK;
        uint32_t left = begin, before_left = begin, before = begin;
        for (uint32_t at = begin; at < end; at += symbol_length[at]) {
            if (pair_rank[at] < lowest) {
                lowest = pair_rank[at];
                left = at;
                before_left = before;
            }
            before = at;
        }
        if (lowest == TL_NO_RANK) {
            break;
        }
        symbol_length[left] = (tl_length_t)(symbol_length[left] + symbol_length[left + symbol_length[left]]);
        pair_rank[left] = find_pair_rank(left, end);
        if (before_left < left) {
            pair_rank[before_left] = find_pair_rank(before_left, end);
        }
    }
    put_symbols(output, begin, end);
}

/* The longest USER_DEFINED piece that begins at `at` in the normalised text, or TL_NO_TOKEN. */
static tl_token_t find_user_defined(uint32_t at, uint32_t end, uint32_t *length) {
    for (const tl_token_t *token = tl_user_defined; *token != TL_NO_TOKEN; token++) {
        const uint8_t *piece;
        *length = tl_piece_text(*token, &piece);
        if (*length <= end - at && memcmp(text_bytes + at, piece, *length) == 0) {
            return *token;
        }
    }
    return TL_NO_TOKEN;
}

/* Bytes of the symbol that begins at `at`. suffix: the word's last symbol includes its suffix. */
static uint32_t first_length(uint32_t at, uint32_t end, bool suffix) {
    uint32_t length = 1;
    if (!TL_BYTE_LEVEL) {
        (void)tl_utf8_code(text_bytes + at, end - at, &length);
    }
    return suffix && at + length + 1u == end ? length + 1u : length;
}

/* Removes the symbols that are no pieces from a word. Returns its new end; *suffix: whether it still has its suffix. */
static uint32_t drop_symbols(uint32_t begin, uint32_t end, bool *suffix) {
    uint32_t kept = begin, length;
    const bool had_suffix = *suffix;
    for (uint32_t at = begin; at < end; at += length) {
        length = first_length(at, end, had_suffix);
        const bool piece = tl_find_slot(text_bytes + at, length) != TL_NO_SLOT;
        *suffix = had_suffix && piece;
        memmove(text_bytes + kept, text_bytes + at, length);
        kept += piece ? length : 0;
    }
    return kept;
}

static void encode_word(struct output *output, uint32_t begin, uint32_t end) {
    if (TL_WHOLE_WORDS && end - begin <= TL_LONGEST_PIECE &&
        tl_find_slot(text_bytes + begin, end - begin) != TL_NO_SLOT) {
        put_symbol(output, text_bytes + begin, end - begin);
        return;
    }
    bool suffix = TL_WORD_SUFFIX;
    end = TL_DROPS_SYMBOLS ? drop_symbols(begin, end, &suffix) : end;
    for (uint32_t at = begin; at < end;) { /* the symbols from `begin` to `at` are not put out yet */
        uint32_t length;
        const tl_token_t user_defined = find_user_defined(at, end, &length);
        if (user_defined != TL_NO_TOKEN) {
            encode_span(output, begin, at);
            put(output, user_defined);
            output->after_unknown = false;
            at += length;
            begin = at;
            continue;
        }
        if (TL_SPLITS_AT_SPACES && text_bytes[at] == ' ' && at > begin && text_bytes[at - 1u] != ' ') {
            encode_span(output, begin, at);
            begin = at;
        }
        symbol_length[at] = (tl_length_t)first_length(at, end, suffix);
        at += symbol_length[at];
    }
    encode_span(output, begin, end);
}

#endif

/* Encodes the text between two added tokens. */
static void encode_section(struct output *output, const uint8_t *text, uint32_t n_bytes, bool first) {
    const uint32_t end = tl_normalize(text, n_bytes, first, text_bytes + TL_WORD_PREFIX, NORMAL_ROOM);
    if (end == TL_NORMAL_TOO_LONG) {
        output->count = TL_ENCODE_TOO_LONG;
        return;
    }
    struct tl_words words = {.at = TL_WORD_PREFIX, .end = TL_WORD_PREFIX + end};
    for (uint32_t begin; tl_next_word(text_bytes, &words, &begin);) {
        output->after_unknown = false;
#if TL_WORD_PREFIX
        text_bytes[--begin] = ' '; /* overwrites a byte that was encoded or dropped before */
#endif
#if TL_WORD_SUFFIX
        const uint8_t covered = text_bytes[words.at];
        text_bytes[words.at] = ' ';
        encode_word(output, begin, words.at + 1u);
        text_bytes[words.at] = covered;
#else
        encode_word(output, begin, words.at);
#endif
    }
}

#if TL_ADDED_TOKENS > 0

#define STRIPS_LEFT 1u
#define STRIPS_RIGHT 2u

/* The longest added token whose name the text begins with, or NULL. */
static const struct tl_added_token *find_added(const uint8_t *text, uint32_t n_bytes) {
    for (uint32_t i = 0; i < TL_ADDED_TOKENS; i++) {
        const struct tl_added_token *added = &tl_added_token[i];
        const uint8_t *name = tl_added_bytes + added->offset;
        if (name[0] == text[0] && added->length <= n_bytes && memcmp(text, name, added->length) == 0) {
            return added;
        }
    }
    return NULL;
}

/* The bytes of the white space character (Unicode's White_Space) that the text begins with, 0 if none. */
static uint32_t space_length(const uint8_t *text, uint32_t n_bytes) {
    if (text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r')) {
        return 1;
    }
    if (n_bytes >= 2u && text[0] == 0xC2 && (text[1] == 0x85 || text[1] == 0xA0)) {
        return 2;
    }
    if (n_bytes < 3u) {
        return 0;
    }
    const uint32_t code = (uint32_t)text[0] << 16 | (uint32_t)text[1] << 8 | text[2];
    const bool space = code == 0xE19A80u || (code >= 0xE28080u && code <= 0xE2808Au) || code == 0xE280A8u ||
                       code == 0xE280A9u || code == 0xE280AFu || code == 0xE2819Fu || code == 0xE38080u;
    return space ? 3 : 0;
}

/* Where the white space that ends at `end` begins, not before `start`. */
static uint32_t without_spaces(const uint8_t *text, uint32_t start, uint32_t end) {
    for (uint32_t length = 1; length <= 3u && length <= end - start;) {
        const bool space = space_length(text + end - length, length) == length;
        end -= space ? length : 0;
        length = space ? 1u : length + 1u;
    }
    return end;
}

/* Cuts a text at its added tokens. The name of a CONTROL piece stays text, and an added token that begins within it is
   not found. A token that strips to the left is not found within white space that the token before it has stripped. */
static void encode_text(struct output *output, const uint8_t *text, uint32_t n_bytes, bool first) {
    uint32_t start = 0; /* where the section under way begins */
    for (uint32_t at = 0; at < n_bytes;) {
        const struct tl_added_token *added = find_added(text + at, n_bytes - at);
        if (added == NULL || added->token == TL_NO_TOKEN) {
            at += added == NULL ? 1u : added->length;
            continue;
        }
        if ((added->strips & STRIPS_LEFT) != 0 && at + added->length <= start) {
            at += added->length;
            continue;
        }
        uint32_t end = at;
        if ((added->strips & STRIPS_LEFT) != 0 && at > start) {
            end = without_spaces(text, start, at);
        }
        if (end > start) {
            encode_section(output, text + start, end - start, first && start == 0);
        }
        put(output, added->token);
        at += added->length;
        start = at;
        if ((added->strips & STRIPS_RIGHT) != 0) {
            uint32_t length = 1;
            while (start < n_bytes && length > 0) {
                length = space_length(text + start, n_bytes - start);
                start += length;
            }
        }
    }
    if (start < n_bytes) {
        encode_section(output, text + start, n_bytes - start, first && start == 0);
    }
}

#else

static void encode_text(struct output *output, const uint8_t *text, uint32_t n_bytes, bool first) {
    encode_section(output, text, n_bytes, first);
}

#endif

uint32_t tl_encode(const uint8_t *text, uint32_t n_bytes, bool bos, tl_token_t *tokens, uint32_t capacity) {
    struct output output = {tokens, capacity, 0, false};
    if (n_bytes > TL_TEXT_MAX) {
        return TL_ENCODE_TOO_LONG;
    }
    if (bos && TL_ADD_BOS) {
        put(&output, TL_BOS);
    }
    encode_text(&output, text, n_bytes, true);
    return output.count;
}

uint32_t tl_encode_section(const uint8_t *text, uint32_t n_bytes, bool first, tl_token_t *tokens, uint32_t capacity) {
    struct output output = {tokens, capacity, 0, false};
    if (n_bytes > TL_TEXT_MAX) {
        return TL_ENCODE_TOO_LONG;
    }
    encode_text(&output, text, n_bytes, first);
    return output.count;
}
