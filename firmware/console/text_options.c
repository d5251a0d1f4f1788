#include "text_options.h"

#include "answer.h"
#include "chat_template.h"
#include "identity.h"
#include "model.h"
#include "session.h"
#include "text_write.h"

static bool echo_on = true;
static bool chat_on = TL_CHAT;

bool tl_text_echo(void) {
    return echo_on;
}

void tl_text_set_echo(bool echo) {
    echo_on = echo;
}

bool tl_text_chat(void) {
    return chat_on;
}

void tl_text_set_chat(bool chat) {
    chat_on = chat;
}

void tl_text_warn_of_kernels(void) {
    if (!tl_session_kernels_agree()) {
        tl_write("The kernels " TL_KERNEL_SET
                 " failed their check on this chip: the portable ones are used, slower." TL_LINE_END);
    }
}

void tl_text_greet(void) {
    tl_write("tinyllm " TL_VERSION ", ");
    tl_write(TL_MODEL_NAME);
    tl_write(" on " TL_BOARD_NAME ". Type a prompt, or /help." TL_LINE_END);
    if (tl_session_weights() != TL_WEIGHTS_INTACT) {
        tl_write(tl_error_text(TL_ERROR_MODEL));
        tl_write(TL_LINE_END);
    }
    tl_text_warn_of_kernels();
}
