/* Orders for the compiler, which moves all loads to the front and then needs more registers than there are.
 *
 * AFTER: nothing is made of `other` (loaded through it, if it is a pointer) before `sum` is done. HERE: `sum` is what it is
 * in this branch alone. TL_APART: a function that does not share registers with the loop that calls it.
 */
#ifndef TL_ORDER_H
#define TL_ORDER_H

#if defined(__GNUC__)
#define AFTER(sum, other) __asm__("" : "+r"(other) : "r"(sum))
#define HERE(sum) __asm__ volatile("" : "+r"(sum))
#define TL_APART __attribute__((noinline))
#else
#define AFTER(sum, other) (void)(sum)
#define HERE(sum) (void)(sum)
#define TL_APART
#endif

#endif
