/* What a voice asks of the console after it took a byte. The voices do not call the console or each other: they return
   a wish, and console.c carries it out. */
#ifndef TL_WISH_H
#define TL_WISH_H

enum tl_wish {
    TL_STAY,        /* nothing */
    TL_STOP_ANSWER, /* end the answer under way; the current voice reports its end. The wishes below do this too */
    TL_TO_TEXT,     /* switch to the text voice */
    TL_TO_PERSON,   /* the same, and greet the person */
    TL_TO_PROGRAM   /* let the program voice answer a HELLO, and switch to it if it serves that version */
};

#endif
