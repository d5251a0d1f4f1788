/* Cuts text into words by the steps of tl_cut: see codegen/tokenizers/encode/cut.py. */
#ifndef TL_CUT_H
#define TL_CUT_H

#include <stdbool.h>
#include <stdint.h>

#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A place in a text: text[at..end) is not cut yet. ends[i]: the end of step i's part under way, zero at the start.
   Nothing before `at` is read again. */
struct tl_words {
    uint32_t at, end;
#if TL_CUTS > 0
    uint32_t ends[TL_CUTS];
#endif
};

/* Cuts the next word, text[begin..words->at). Returns false if there are no more words. */
bool tl_next_word(const uint8_t *text, struct tl_words *words, uint32_t *begin);

#ifdef __cplusplus
}
#endif

#endif
