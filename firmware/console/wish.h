/* What a voice wishes after a byte has come. The voices do not call the console or each other: console.c does what they
   wish. */
#ifndef TL_WISH_H
#define TL_WISH_H

enum tl_wish {
    TL_STAY,        /* nothing */
    TL_STOP_ANSWER, /* end the answer under way, which is then said in the voice that speaks; so do all that follow */
    TL_TO_TEXT,     /* let the text voice speak */
    TL_TO_PERSON,   /* the same, and let it greet: a person is there */
    TL_TO_PROGRAM   /* let the program voice answer a HELLO, and speak if it serves its version */
};

#endif
