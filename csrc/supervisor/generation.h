/* SPDX-License-Identifier: MIT */
/* Generations: what one reading of the settings yields. Each is counted: `st->gen`,
 * `st->fallback` and each worker of it hold it. */
#ifndef CW_SUPERVISOR_GENERATION_H
#define CW_SUPERVISOR_GENERATION_H

#include "supervisor/state.h"

/* Opens sockets (taking over those of `old`) and makes the heritage. Takes `settings`,
 * also on failure. NULL after saying what is wrong. Nobody holds it yet. */
CW_MUSTCHECK generation_t *cw_generation_new(state_t *st, cw_settings_t *settings,
                                             const generation_t *old);

void cw_generation_ref(generation_t *gen);
/* The last one frees it, its sockets and zygote's socket. */
void cw_generation_unref(state_t *st, generation_t *gen);

/* Closes its sockets. The files of Unix sockets go with them, but for those that `kept`
 * (or NULL) has, too, and unless another cwsgi of an upgrade listens there. */
void cw_generation_unlisten(state_t *st, generation_t *gen, const generation_t *kept);

/* Puts together what workers inherit. Returns 0, or -1 after saying why not. */
CW_MUSTCHECK int cw_heritage_make(state_t *st, generation_t *gen);

/* Makes `gen->h_fd` of it, once: memory that nobody can change any more. Same results.
 */
CW_MUSTCHECK int cw_heritage_share(generation_t *gen);

#endif
