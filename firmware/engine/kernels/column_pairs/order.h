/* Keeps the compiler from moving all loads to the front, where it would need more registers than there are.
 *
 * AFTER: `other` is not used (not loaded through, if it is a pointer) before `sum` is computed. HERE: `sum` is computed
 * in this branch only. TL_APART: the function is not inlined, so it takes no registers of the loop that calls it.
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
