/* The commands of the text voice. */
#ifndef TL_COMMANDS_H
#define TL_COMMANDS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Obeys a line that begins with '/', NUL-terminated; its spaces may be overwritten. */
void tl_command(char *line);

#ifdef __cplusplus
}
#endif

#endif
