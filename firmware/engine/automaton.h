/* Regular expressions as tables: see codegen/tokenizers/encode/automaton.py. */
#ifndef TL_AUTOMATON_H
#define TL_AUTOMATON_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_NO_MATCH UINT32_MAX

/* Where the match that begins at text[at] ends, or TL_NO_MATCH; at <= end. Never empty. */
uint32_t tl_match_end(uint32_t automaton, const uint8_t *text, uint32_t at, uint32_t end);

#ifdef __cplusplus
}
#endif

#endif
