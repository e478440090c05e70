/* SPDX-License-Identifier: MIT */
/* --preload: the process that has imported the app once. One for each generation. */
#ifndef CW_SUPERVISOR_ZYGOTE_H
#define CW_SUPERVISOR_ZYGOTE_H

#include "supervisor/state.h"

bool cw_zygote_wanted(const generation_t *gen);

/* Starts it if need be. */
void cw_zygote_have(state_t *st, generation_t *gen);

/* Asks a ready one for a worker, whose end of its pipe goes along. Returns 0, or -1
 * where it does not listen. */
CW_MUSTCHECK int cw_zygote_ask(generation_t *gen, int slot, int word_fd);

/* Reads what it has to say next, without waiting, and notes it where it is ready.
 * Returns as recv(2). */
CW_MUSTCHECK ssize_t cw_zygote_read(generation_t *gen, cw_zygote_message_t *m);

/* Lets it go: it ends with its socket. */
void cw_zygote_close(generation_t *gen);

/* Writes the generations that have one to `out`. Returns how many. */
CW_MUSTCHECK int cw_zygotes(state_t *st, generation_t **out, int max);

#endif
