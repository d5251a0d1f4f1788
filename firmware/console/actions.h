/* Actions: C functions that carry out the calls of a model. docs/actions.md shows how to write one.
 *
 *     static bool set_fan(const struct tinyllm_call *call, struct tinyllm_result *result) {
 *         analogWrite(FAN_PIN, (int)tinyllm_number(call, "speed"));
 *         tinyllm_say(result, "The fan runs.");
 *         return true;
 *     }
 *
 *     void tinyllm_register_actions(void) {
 *         tinyllm_action("fan.set", set_fan);
 *     }
 */
#ifndef TL_ACTIONS_H
#define TL_ACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A complete call from the catalogue; each value is in its range. */
struct tinyllm_call {
    const char *name;
    const char *arguments; /* as the model wrote them: room="kitchen", on=true) */
};

struct tinyllm_result;

/* Carries out a call. Return soon, because the board does nothing else meanwhile. false: the call failed. What the
   handler says goes to the model as the result; if it says nothing, that is "ok", or "error: failed". */
typedef bool (*tinyllm_handler)(const struct tinyllm_call *call, struct tinyllm_result *result);

/* Sets the handler of the calls with this name; it replaces an earlier one. false: the catalogue has no such call. */
bool tinyllm_action(const char *name, tinyllm_handler handler);

/* Yours to define, in a file of your own. Called after the board has registered its handlers. */
void tinyllm_register_actions(void);

/* The value of an argument; false, 0 or "" if the call has no argument of that name and kind. */
bool tinyllm_flag(const struct tinyllm_call *call, const char *argument);
int32_t tinyllm_number(const struct tinyllm_call *call, const char *argument);

/* Copies an argument's text to `text`, at most room - 1 bytes, zero-terminated. Returns its length in bytes. */
uint32_t tinyllm_text(const struct tinyllm_call *call, const char *argument, char *text, uint32_t room);

/* Whether an argument is this word. */
bool tinyllm_is(const struct tinyllm_call *call, const char *argument, const char *word);

/* Add to the result that the model gets. A result that is too long is cut. */
void tinyllm_say(struct tinyllm_result *result, const char *text);
void tinyllm_say_number(struct tinyllm_result *result, int32_t value);

/* --- For the console --- */

/* Registers the handlers of the board, then those of tinyllm_register_actions. */
void tl_actions_start(void);

/* Whether a call has a handler. */
bool tl_action_known(const char *text);

/* Carries out a call. Returns the result for the model, or NULL if the call has no handler. */
const char *tl_action_run(const char *text);

#ifdef __cplusplus
}
#endif

#endif
