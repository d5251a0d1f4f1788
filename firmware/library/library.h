/* The model in a program of your own, from C; TinyLLM.h has the same as a C++ class. There is one model, with one KV cache:
 * it answers one question at a time, and nothing here may be called from two tasks at once.
 *
 *     static void print(const char *piece) {
 *         printf("%s", piece);
 *     }
 *
 *     tinyllm_begin();
 *     tinyllm_ask("Hello!", print);
 */
#ifndef TL_LIBRARY_H
#define TL_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"
#include "settings_table.h"
#if TL_ACTIONS
#include "actions.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Gets the next part of an answer: whole characters, zero-terminated. */
typedef void (*tinyllm_piece)(const char *piece);

/* Checks the weights, which reads all of them once, and gives every setting its start. To be called once, before all else;
   false if the weights are damaged. */
bool tinyllm_begin(void);

/* Answers a turn of the conversation, whose text the model's chat template, if it has one, is put around. NULL: nobody
   reads the answer. Returns when it has ended; false if there is none, and tinyllm_error says why. */
bool tinyllm_ask(const char *text, tinyllm_piece piece);

/* Goes on with a text as it is, without a chat template. */
bool tinyllm_complete(const char *text, tinyllm_piece piece);

/* The same for those who must not wait: they return at once, and tinyllm_step does the work. */
bool tinyllm_start(const char *text, tinyllm_piece piece);
bool tinyllm_start_completing(const char *text, tinyllm_piece piece);

/* Does a step of what was begun, at most one pass through the model: false if it has ended, or nothing was begun. */
bool tinyllm_step(void);

/* Whether there is something to be done by tinyllm_step. */
bool tinyllm_busy(void);

/* Ends the answer under way: the next step is its last. May be called by whoever gets its pieces. */
void tinyllm_stop(void);

/* Forgets the conversation and the answer under way. */
void tinyllm_forget(void);

/* Why the last call returned false, for people; "" if it did not. */
const char *tinyllm_error(void);

/* Why the last answer ended: TL_REASON_STOP if the model ended it. */
enum tl_reason tinyllm_reason(void);

/* Sets a setting, TL_TEMPERATURE to TL_OVERFLOW, Q16.16 or whole; false, with nothing changed, if it is out of range. */
bool tinyllm_set(enum tl_setting_number setting, uint32_t value);

/* A conversation that is set aside while another one has its turn. All zero to begin with. */
struct tinyllm_conversation {
    struct tl_random random;
    uint32_t n;
    tl_token_t tokens[TL_CONTEXT];
};

/* Sets the conversation under way aside, if it was given here too, and takes this one up. The memory is the caller's, for
   as long as it is used. tinyllm_step has the model read it again; tinyllm_ask does so by itself. false while an answer is
   under way. */
bool tinyllm_use(struct tinyllm_conversation *conversation);

#ifdef __cplusplus
}
#endif

#endif
